/* A component in C that answers requests, word for word as those in `../sdk` do: `../sdk/said.rs` says what. It frees
 * nothing, because each request has an instance of its own.
 */
#include "http.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Bytes that become more. */
typedef struct {
    char *bytes;
    size_t length;
    size_t room;
} text;

static void add(text *text, const void *bytes, size_t length)
{
    if (text->length + length > text->room) {
        text->room = 2 * (text->length + length);
        text->bytes = realloc(text->bytes, text->room);
        if (text->bytes == NULL)
            abort();
    }
    if (length > 0)
        memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
}

__attribute__((format(printf, 2, 3))) static void print(text *text, const char *format, ...)
{
    char *bytes;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&bytes, format, arguments);
    va_end(arguments);
    if (length < 0)
        abort();
    add(text, bytes, length);
    free(bytes);
}

/* What is no printable ASCII as Rust would write it. */
static void add_escaped(text *text, slice value)
{
    for (size_t i = 0; i < value.length; i++) {
        unsigned char byte = value.bytes[i];
        if (byte == '\t')
            add(text, "\\t", 2);
        else if (byte == '\'' || byte == '"' || byte == '\\')
            print(text, "\\%c", byte);
        else if (byte < 0x20 || byte >= 0x7f)
            print(text, "\\x%02x", byte);
        else
            add(text, &byte, 1);
    }
}

static bool is(slice slice, const char *expected)
{
    return slice.length == strlen(expected) && memcmp(slice.bytes, expected, slice.length) == 0;
}

static slice method_of(int32_t request)
{
    static const char *const known[] = {"GET",     "HEAD",    "POST",  "PUT",  "DELETE",
                                        "CONNECT", "OPTIONS", "TRACE", "PATCH"};
    method method;
    request_method(request, &method);
    if (method.kind >= OTHER)
        return method.other;
    char *name = (char *)known[method.kind];
    return (slice){name, strlen(name)};
}

static int by_name(const void *one, const void *other)
{
    const field *a = one, *b = other;
    size_t common = a->name.length < b->name.length ? a->name.length : b->name.length;
    int order = memcmp(a->name.bytes, b->name.bytes, common);
    return order != 0 ? order : (a->name.length > b->name.length) - (a->name.length < b->name.length);
}

/* A line for each name, with its last value. */
static void add_fields(text *text, int32_t headers)
{
    field_list all;
    fields_entries(headers, &all);
    size_t count = 0;
    for (size_t i = 0; i < all.length; i++) {
        size_t at = 0;
        while (at < count && by_name(&all.items[at], &all.items[i]) != 0)
            at++;
        all.items[at] = all.items[i];
        count += at == count;
    }
    qsort(all.items, count, sizeof *all.items, by_name);
    for (size_t i = 0; i < count; i++) {
        if (is(all.items[i].name, "spin-client-addr"))
            continue;
        print(text, "field %.*s: ", (int)all.items[i].name.length, all.items[i].name.bytes);
        add_escaped(text, all.items[i].value);
        add(text, "\n", 1);
    }
}

static text body_of(int32_t request)
{
    text whole = {0};
    made body, stream;
    request_consume(request, &body);
    body_stream(body.handle, &stream);
    for (;;) {
        moved piece;
        input_read(stream.handle, 16 << 10, &piece);
        if (piece.failed)
            break;
        add(&whole, piece.bytes.bytes, piece.bytes.length);
    }
    input_drop(stream.handle);
    body_drop(body.handle);
    return whole;
}

static text asked(slice method, slice path, int32_t headers, text body)
{
    text text = {0};
    unsigned long long sum = 0;
    for (size_t i = 0; i < body.length; i++)
        sum += (unsigned char)body.bytes[i];
    print(&text, "method: %.*s\n", (int)method.length, method.bytes);
    print(&text, "path: %.*s\n", (int)path.length, path.bytes);
    print(&text, "body: %zu %llu\n", body.length, sum);
    add_fields(&text, headers);
    return text;
}

static void set_field(int32_t fields, const char *name, slice value)
{
    written result;
    fields_append(fields, name, strlen(name), value.bytes, value.length, &result);
    if (result.failed)
        abort();
}

static void answer(int32_t outparam, int status, int32_t fields, text body)
{
    int32_t response = response_new(fields);
    if (response_set_status(response, status))
        abort();
    made out, stream;
    response_body(response, &out);
    outparam_set(outparam, 0, response, 0, 0, 0, 0, 0, 0);
    response_stream(out.handle, &stream);
    for (size_t at = 0; at < body.length;) {
        size_t some = body.length - at < 4096 ? body.length - at : 4096;
        moved result;
        output_write(stream.handle, body.bytes + at, some, &result);
        /* Who asked is gone. */
        if (result.failed)
            break;
        at += some;
    }
    output_drop(stream.handle);
    finished result;
    response_finish(out.handle, 0, 0, &result);
}

static int status_of(slice path)
{
    static const char before[] = "/status/";
    size_t at = sizeof before - 1;
    if (path.length <= at || memcmp(path.bytes, before, at) != 0)
        return 200;
    int status = 0;
    for (; at < path.length; at++)
        status = 10 * status + path.bytes[at] - '0';
    return status;
}

void handle(int32_t request, int32_t outparam)
{
    option whole;
    request_path(request, &whole);
    slice path = whole.bytes;
    char *query = memchr(path.bytes, '?', path.length);
    if (query != NULL)
        path.length = query - path.bytes;
    slice method = method_of(request);
    text body = body_of(request);
    int32_t headers = request_headers(request);
    if (is(path, "/nothing"))
        body = (text){0};
    else if (!is(path, "/echo"))
        body = asked(method, whole.bytes, headers, body);
    fields_drop(headers);

    text length = {0};
    print(&length, "%zu", body.length);
    int32_t fields = fields_new();
    char *type = "text/plain; charset=utf-8";
    set_field(fields, "content-type", (slice){type, strlen(type)});
    set_field(fields, "content-length", (slice){length.bytes, length.length});
    set_field(fields, "x-method", method);
    set_field(fields, "x-path", path);
    request_drop(request);
    answer(outparam, status_of(path), fields, body);
}
