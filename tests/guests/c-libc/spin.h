/* What a component in C sees of the runner: the imports and exports of the world `mqtt-app-sync` (runner/wit),
 * as the component model's canonical ABI has them for WebAssembly's 32-bit memory.
 *
 * Nothing is generated, because nothing has to be. An import is a C function with two attributes. What it takes
 * is laid flat: a string or a list is a pointer and a length, a resource is a handle. What it gives is written
 * where its last argument points, in the layout that C gives to the same structure.
 *
 * Memory: what an import gives lives in memory that it got from `cabi_realloc` below, and is the component's to
 * free. What it takes it only reads. What the component's own export gives is freed by the function
 * `cabi_post_…` of that export, when the runner has read it.
 */
#ifndef SPIN_H
#define SPIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define IMPORT(interface, function) __attribute__((import_module(interface), import_name(function)))
#define EXPORT(function) __attribute__((export_name(function)))

/* A string (UTF-8, without a zero at its end) or a list<u8>. */
typedef struct {
    char *bytes;
    size_t length;
} spin_bytes;

/* list<string> */
typedef struct {
    spin_bytes *items;
    size_t length;
} spin_list;

/* The error of an import. `kind` is the number of its case; `text` is there only in cases that have one. */
typedef struct {
    uint8_t kind;
    spin_bytes text;
} spin_error;

/* result<T, error> for each T that the imports have. */
typedef struct {
    bool failed;
    union {
        int32_t handle;
        spin_bytes bytes;
        spin_list list;
        struct {
            bool some;
            spin_bytes bytes;
        } option;
        spin_error error;
    };
} spin_result;

/* --- fermyon:spin/variables@2.0.0 ------------------------------------------------------------- */

enum { VARIABLES_INVALID_NAME, VARIABLES_UNDEFINED, VARIABLES_PROVIDER, VARIABLES_OTHER };

#define VARIABLES "fermyon:spin/variables@2.0.0"
/* → bytes */
IMPORT(VARIABLES, "get")
void variables_get(const char *name, size_t name_length, spin_result *result);

/* --- fermyon:spin/key-value@2.0.0 ------------------------------------------------------------- */

enum { KEY_VALUE_STORE_TABLE_FULL, KEY_VALUE_NO_SUCH_STORE, KEY_VALUE_ACCESS_DENIED, KEY_VALUE_OTHER };

#define KEY_VALUE "fermyon:spin/key-value@2.0.0"
/* → handle, to be dropped */
IMPORT(KEY_VALUE, "[static]store.open")
void store_open(const char *label, size_t label_length, spin_result *result);
/* → option */
IMPORT(KEY_VALUE, "[method]store.get")
void store_get(int32_t store, const char *key, size_t key_length, spin_result *result);
/* → nothing */
IMPORT(KEY_VALUE, "[method]store.set")
void store_set(int32_t store, const char *key, size_t key_length, const char *value, size_t value_length,
               spin_result *result);
/* → list */
IMPORT(KEY_VALUE, "[method]store.get-keys")
void store_get_keys(int32_t store, spin_result *result);
IMPORT(KEY_VALUE, "[resource-drop]store")
void store_drop(int32_t store);

/* --- fermyon:spin/mqtt@2.0.0 ------------------------------------------------------------------ */

enum { MQTT_INVALID_ADDRESS, MQTT_TOO_MANY_CONNECTIONS, MQTT_CONNECTION_FAILED, MQTT_OTHER };
enum { AT_MOST_ONCE, AT_LEAST_ONCE, EXACTLY_ONCE };

#define MQTT "fermyon:spin/mqtt@2.0.0"
/* → handle, to be dropped */
IMPORT(MQTT, "[static]connection.open")
void connection_open(const char *address, size_t address_length, const char *username, size_t username_length,
                     const char *password, size_t password_length, uint64_t keep_alive_seconds,
                     spin_result *result);
/* → nothing */
IMPORT(MQTT, "[method]connection.publish")
void connection_publish(int32_t connection, const char *topic, size_t topic_length, const char *payload,
                        size_t payload_length, int32_t qos, spin_result *result);
IMPORT(MQTT, "[resource-drop]connection")
void connection_drop(int32_t connection);

/* --- spin:mqtt-trigger ------------------------------------------------------------------------ */

/* result<_, error>, where error has one case, `other(string)`. */
typedef struct {
    bool refused;
    struct {
        uint8_t kind;
        spin_bytes text;
    } why;
} handled;

/* The component defines it. The payload and the topic are its own to free, the answer has to outlive the call. */
EXPORT("handle-message")
handled *handle_message(char *payload, size_t payload_length, char *topic, size_t topic_length);

/* Called with that answer when the runner has read it. */
EXPORT("cabi_post_handle-message")
void handle_message_done(handled *answer);

/* Where the runner gets memory for what it hands to the component. Of no bytes it asks for no memory: any
 * aligned address that is not null will do. */
EXPORT("cabi_realloc")
void *cabi_realloc(void *old, size_t old_size, size_t alignment, size_t size)
{
    (void)old_size;
    if (size == 0)
        return (void *)alignment;
    void *memory = realloc(old, size);
    if (memory == NULL)
        abort();
    return memory;
}

#endif
