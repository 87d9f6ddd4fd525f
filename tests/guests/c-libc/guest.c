/* A component in C, with a C library: does what the last level of the topic says, and answers on
 * `answer/<command>`.
 *
 *     topic          payload     answer
 *     …/echo         anything    the same
 *     …/env          a name      its value in the environment, or `none`
 *     …/read         a path      how many bytes, lines and words the file has
 *     …/time                     seconds since the epoch
 *     …/sort         words       the words, sorted, one a line
 *     …/average      numbers     their average, to two places
 *     …/print        text        `ok`, the text on stdout and on stderr
 *     …/var          a name      the variable's value
 *     …/kv-set       key=value   `ok`
 *     …/kv-get       key         `some VALUE` or `none`
 *     …/kv-keys                  the keys, sorted, one a line
 *     …/kv-open      a label     `ok`
 *     …/refuse       text        none: the message is refused with this text
 *
 * What fails is answered as `error: …`. `spin.h` is what it knows of the runner. `tests/guests/build` builds it.
 */
#include "spin.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* --- text ------------------------------------------------------------------------------------- */

/* A copy with a zero at its end, as C likes it. The original is freed. */
static char *text_of(spin_bytes bytes)
{
    char *text = malloc(bytes.length + 1);
    if (text == NULL)
        abort();
    if (bytes.length > 0) {
        memcpy(text, bytes.bytes, bytes.length);
        free(bytes.bytes);
    }
    text[bytes.length] = 0;
    return text;
}

/* Text of any length, as printf would print it. */
__attribute__((format(printf, 1, 2))) static char *formatted(const char *format, ...)
{
    char *text;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        abort();
    va_end(arguments);
    return text;
}

/* The same, and frees its only argument. */
static char *formatted_of(const char *format, char *argument)
{
    char *text = formatted(format, argument);
    free(argument);
    return text;
}

static int by_bytes(const void *one, const void *other)
{
    return strcmp(*(char *const *)one, *(char *const *)other);
}

/* Sorts and joins the lines, and frees them. */
static char *sorted_lines(char **lines, size_t count)
{
    char *text = formatted("%s", "");
    qsort(lines, count, sizeof *lines, by_bytes);
    for (size_t i = 0; i < count; i++) {
        char *longer = formatted(i == 0 ? "%s%s" : "%s\n%s", text, lines[i]);
        free(text);
        free(lines[i]);
        text = longer;
    }
    free(lines);
    return text;
}

/* --- the C library ---------------------------------------------------------------------------- */

static char *from_environment(const char *name)
{
    const char *value = getenv(name);
    return formatted("%s", value == NULL ? "none" : value);
}

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return formatted("error: %s", strerror(errno));
    unsigned bytes = 0, lines = 0, words = 0;
    bool in_word = false;
    for (int c; (c = getc(file)) != EOF; bytes++) {
        lines += c == '\n';
        words += !isspace(c) && !in_word;
        in_word = !isspace(c);
    }
    fclose(file);
    return formatted("%u bytes, %u lines, %u words", bytes, lines, words);
}

static char *sort(char *words)
{
    char **list = NULL;
    size_t count = 0;
    for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " ")) {
        list = realloc(list, (count + 1) * sizeof *list);
        if (list == NULL)
            abort();
        list[count++] = formatted("%s", word);
    }
    return sorted_lines(list, count);
}

static char *average(const char *numbers)
{
    double sum = 0, number;
    int count = 0, used;
    for (; sscanf(numbers, "%lf%n", &number, &used) == 1; numbers += used, count++)
        sum += number;
    return count == 0 ? formatted("error: no numbers") : formatted("%.2f", sum / count);
}

static char *print(const char *text)
{
    printf("%s\n", text);
    fprintf(stderr, "%s\n", text);
    return formatted("ok");
}

/* --- the runner's interfaces ------------------------------------------------------------------ */

static char *variable(const char *name)
{
    spin_result result;
    variables_get(name, strlen(name), &result);
    if (result.failed)
        return formatted_of("error: %s", text_of(result.error.text));
    return text_of(result.bytes);
}

static char *error_of_store(spin_error error)
{
    switch (error.kind) {
    case KEY_VALUE_STORE_TABLE_FULL: return formatted("error: too many open stores");
    case KEY_VALUE_NO_SUCH_STORE: return formatted("error: no such store");
    case KEY_VALUE_ACCESS_DENIED: return formatted("error: access denied");
    default: return formatted_of("error: %s", text_of(error.text));
    }
}

static char *set(int32_t store, char *text)
{
    char *equals = strchr(text, '=');
    if (equals == NULL)
        return formatted("error: expected key=value");
    spin_result result;
    store_set(store, text, (size_t)(equals - text), equals + 1, strlen(equals + 1), &result);
    return result.failed ? error_of_store(result.error) : formatted("ok");
}

static char *get(int32_t store, const char *key)
{
    spin_result result;
    store_get(store, key, strlen(key), &result);
    if (result.failed)
        return error_of_store(result.error);
    return result.option.some ? formatted_of("some %s", text_of(result.option.bytes)) : formatted("none");
}

static char *keys(int32_t store)
{
    spin_result result;
    store_get_keys(store, &result);
    if (result.failed)
        return error_of_store(result.error);
    size_t count = result.list.length;
    char **lines = calloc(count + 1, sizeof *lines);
    if (lines == NULL)
        abort();
    for (size_t i = 0; i < count; i++)
        lines[i] = text_of(result.list.items[i]);
    if (count > 0)
        free(result.list.items);
    return sorted_lines(lines, count);
}

static char *obey_with_store(const char *command, char *text)
{
    const char *label = strcmp(command, "kv-open") == 0 ? text : "default";
    spin_result result;
    store_open(label, strlen(label), &result);
    if (result.failed)
        return error_of_store(result.error);
    int32_t store = result.handle;
    char *answer;
    if (strcmp(command, "kv-set") == 0)
        answer = set(store, text);
    else if (strcmp(command, "kv-get") == 0)
        answer = get(store, text);
    else if (strcmp(command, "kv-keys") == 0)
        answer = keys(store);
    else
        answer = formatted(strcmp(command, "kv-open") == 0 ? "ok" : "error: unknown command %s", command);
    store_drop(store);
    return answer;
}

/* NULL, or what went wrong. */
static char *publish(const char *topic, const char *payload)
{
    char *broker = variable("broker");
    spin_result result;
    connection_open(broker, strlen(broker), "", 0, "", 0, 30, &result);
    free(broker);
    if (!result.failed) {
        int32_t connection = result.handle;
        connection_publish(connection, topic, strlen(topic), payload, strlen(payload), AT_LEAST_ONCE, &result);
        connection_drop(connection);
    }
    if (!result.failed)
        return NULL;
    bool has_text = result.error.kind == MQTT_CONNECTION_FAILED || result.error.kind == MQTT_OTHER;
    return has_text ? text_of(result.error.text) : formatted("error %d", result.error.kind);
}

/* --- the export ------------------------------------------------------------------------------- */

static char *obey(const char *command, char *text)
{
    if (strcmp(command, "echo") == 0)
        return formatted("%s", text);
    if (strcmp(command, "env") == 0)
        return from_environment(text);
    if (strcmp(command, "read") == 0)
        return read_file(text);
    if (strcmp(command, "time") == 0)
        return formatted("%lld", (long long)time(NULL));
    if (strcmp(command, "sort") == 0)
        return sort(text);
    if (strcmp(command, "average") == 0)
        return average(text);
    if (strcmp(command, "print") == 0)
        return print(text);
    if (strcmp(command, "var") == 0)
        return variable(text);
    return obey_with_store(command, text);
}

/* NULL, or why the message is refused. */
static char *handle(const char *topic, char *text)
{
    const char *slash = strrchr(topic, '/');
    const char *command = slash == NULL ? topic : slash + 1;
    if (strcmp(command, "refuse") == 0)
        return formatted("%s", text);
    char *answer = obey(command, text);
    char *answer_topic = formatted("answer/%s", command);
    char *error = publish(answer_topic, answer);
    free(answer_topic);
    free(answer);
    return error;
}

handled *handle_message(char *payload, size_t payload_length, char *topic, size_t topic_length)
{
    char *text = text_of((spin_bytes){payload, payload_length});
    char *level = text_of((spin_bytes){topic, topic_length});
    char *error = handle(level, text);
    free(level);
    free(text);

    static handled answer;
    answer = (handled){.refused = error != NULL};
    if (error != NULL)
        answer.why.text = (spin_bytes){error, strlen(error)};
    return &answer;
}

void handle_message_done(handled *answer)
{
    if (answer->refused)
        free(answer->why.text.bytes);
}
