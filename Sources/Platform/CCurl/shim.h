#pragma once
// The type checks are macros over constant options; the shims below pass the option on as a variable.
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

// curl_easy_setopt is variadic, so Swift cannot call it; one shim for each kind of argument.
static inline CURLcode CCurl_setopt_long(CURL *easy, CURLoption option, long value) {
    return curl_easy_setopt(easy, option, value);
}

// curl_easy_setopt is variadic: sizes beyond 2 GiB travel as curl_off_t.
static inline CURLcode CCurl_setopt_offset(CURL *easy, CURLoption option, curl_off_t value) {
    return curl_easy_setopt(easy, option, value);
}

// curl_easy_setopt is variadic: curl copies the string, NULL puts the option back to its default.
static inline CURLcode CCurl_setopt_string(CURL *easy, CURLoption option, const char *value) {
    return curl_easy_setopt(easy, option, value);
}

// curl_easy_setopt is variadic: user data for callbacks, which curl keeps as it is.
static inline CURLcode CCurl_setopt_pointer(CURL *easy, CURLoption option, void *value) {
    return curl_easy_setopt(easy, option, value);
}

// curl_easy_setopt is variadic: a list that the caller keeps alive until the transfer has ended.
static inline CURLcode CCurl_setopt_list(CURL *easy, CURLoption option, struct curl_slist *value) {
    return curl_easy_setopt(easy, option, value);
}

// curl_easy_setopt is variadic: for the body (CURLOPT_WRITEFUNCTION) and the headers (CURLOPT_HEADERFUNCTION).
static inline CURLcode CCurl_setopt_write(CURL *easy, CURLoption option, curl_write_callback value) {
    return curl_easy_setopt(easy, option, value);
}

// curl_easy_setopt is variadic: for the body to send (CURLOPT_READFUNCTION).
static inline CURLcode CCurl_setopt_read(CURL *easy, CURLoption option, curl_read_callback value) {
    return curl_easy_setopt(easy, option, value);
}

// curl_easy_setopt is variadic: for sending the body again from its start (CURLOPT_SEEKFUNCTION).
static inline CURLcode CCurl_setopt_seek(CURL *easy, CURLoption option, curl_seek_callback value) {
    return curl_easy_setopt(easy, option, value);
}

// curl_easy_getinfo is variadic: the infos that are a long.
static inline CURLcode CCurl_getinfo_long(CURL *easy, CURLINFO info, long *value) {
    return curl_easy_getinfo(easy, info, value);
}

// curl_multi_setopt is variadic: the options that are a long.
static inline CURLMcode CCurl_multi_setopt_long(CURLM *multi, CURLMoption option, long value) {
    return curl_multi_setopt(multi, option, value);
}

// CURLMsg carries its result in a union after the fields that Swift imports well; read here, by name.
static inline CURLcode CCurl_message_result(const CURLMsg *message) { return message->data.result; }

// These macros hold casts, which Swift does not import.
static const long CCurl_auth_basic = (long)CURLAUTH_BASIC;
static const long CCurl_auth_digest = (long)CURLAUTH_DIGEST;
static const long CCurl_global_default = (long)CURL_GLOBAL_DEFAULT;
static const size_t CCurl_abort_read = CURL_READFUNC_ABORT;

// curl_easy_getinfo is variadic: the infos that are a curl_off_t.
static inline CURLcode CCurl_getinfo_offset(CURL *easy, CURLINFO info, curl_off_t *value) {
    return curl_easy_getinfo(easy, info, value);
}
