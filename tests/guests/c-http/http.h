/* What a component in C sees of `wasi:http` 0.2: the imports and the export of the world in `wit`, as the canonical ABI has
 * them. How strings, lists and results look from C is said at the head of `../c-libc/spin.h`.
 */
#ifndef HTTP_H
#define HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define IMPORT(interface, function) __attribute__((import_module(interface), import_name(function)))
#define EXPORT(function) __attribute__((export_name(function)))

/* A string or a list<u8>. */
typedef struct {
    char *bytes;
    size_t length;
} slice;

/* tuple<string, list<u8>> */
typedef struct {
    slice name;
    slice value;
} field;

typedef struct {
    field *items;
    size_t length;
} field_list;

enum { GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE, PATCH, OTHER };

/* variant method */
typedef struct {
    uint8_t kind;
    slice other;
} method;

typedef struct {
    bool some;
    slice bytes;
} option;

/* result<own> */
typedef struct {
    bool failed;
    int32_t handle;
} made;

/* result<list<u8>, stream-error> and result<_, stream-error> */
typedef struct {
    bool failed;
    union {
        slice bytes;
        struct {
            uint8_t kind;
            int32_t error;
        } why;
    };
} moved;

/* Room for a result<_, error-code>, of which only the first byte matters here. */
typedef struct {
    bool failed;
    _Alignas(8) uint8_t code[32];
} finished;

/* result<_, header-error> */
typedef struct {
    bool failed;
    uint8_t why;
} written;

#define STREAMS "wasi:io/streams@0.2.0"
IMPORT(STREAMS, "[method]input-stream.blocking-read")
void input_read(int32_t input, uint64_t bytes_max, moved *result);
IMPORT(STREAMS, "[resource-drop]input-stream")
void input_drop(int32_t input);
/* At most 4 096 bytes. */
IMPORT(STREAMS, "[method]output-stream.blocking-write-and-flush")
void output_write(int32_t output, const char *bytes, size_t length, moved *result);
IMPORT(STREAMS, "[resource-drop]output-stream")
void output_drop(int32_t output);

#define TYPES "wasi:http/types@0.2.0"
IMPORT(TYPES, "[constructor]fields")
int32_t fields_new(void);
IMPORT(TYPES, "[method]fields.append")
void fields_append(int32_t fields, const char *name, size_t name_length, const char *value, size_t value_length,
                   written *result);
IMPORT(TYPES, "[method]fields.entries")
void fields_entries(int32_t fields, field_list *result);
IMPORT(TYPES, "[resource-drop]fields")
void fields_drop(int32_t fields);
IMPORT(TYPES, "[method]incoming-request.method")
void request_method(int32_t request, method *result);
IMPORT(TYPES, "[method]incoming-request.path-with-query")
void request_path(int32_t request, option *result);
IMPORT(TYPES, "[method]incoming-request.headers")
int32_t request_headers(int32_t request);
IMPORT(TYPES, "[method]incoming-request.consume")
void request_consume(int32_t request, made *result);
IMPORT(TYPES, "[resource-drop]incoming-request")
void request_drop(int32_t request);
IMPORT(TYPES, "[method]incoming-body.stream")
void body_stream(int32_t body, made *result);
IMPORT(TYPES, "[resource-drop]incoming-body")
void body_drop(int32_t body);
/* Takes the fields. */
IMPORT(TYPES, "[constructor]outgoing-response")
int32_t response_new(int32_t fields);
/* Whether it is refused. */
IMPORT(TYPES, "[method]outgoing-response.set-status-code")
int32_t response_set_status(int32_t response, int32_t status);
IMPORT(TYPES, "[method]outgoing-response.body")
void response_body(int32_t response, made *result);
IMPORT(TYPES, "[method]outgoing-body.write")
void response_stream(int32_t body, made *result);
/* Takes the body. */
IMPORT(TYPES, "[static]outgoing-body.finish")
void response_finish(int32_t body, int32_t has_trailers, int32_t trailers, finished *result);
/* Takes both. What follows `response` are an error's parts, laid flat. */
IMPORT(TYPES, "[static]response-outparam.set")
void outparam_set(int32_t outparam, int32_t failed, int32_t response, int32_t, int64_t, int32_t, int32_t, int32_t,
                  int32_t);

/* The component defines it. */
EXPORT("wasi:http/incoming-handler@0.2.0#handle")
void handle(int32_t request, int32_t outparam);

/* Where the runner gets memory for what it hands to the component. */
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
