/* A client that is no bottleneck, for contrib/bench/control.
 *
 *   control SOCKET pipeline COUNT WINDOW   COUNT daemon.version calls on one connection, WINDOW of them unanswered
 *   control SOCKET idle COUNT              COUNT connections that do nothing, until the standard input ends
 *
 * pipeline prints calls a second; with a window of 1 that is ping-pong. idle prints a line once all are connected and
 * the daemon has answered on the last one. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CALL "{\"jsonrpc\":\"2.0\",\"id\":%ld,\"method\":\"daemon.version\"}\n"

static void fail(const char *what) {
    fprintf(stderr, "control: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int connected(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) fail("the socket's path is too long");
    strcpy(address.sun_path, path);
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s < 0) fail("socket");
    /* The backlog may be full for a moment. */
    while (connect(s, (struct sockaddr *)&address, sizeof address) != 0) {
        if (errno != EAGAIN && errno != EINTR) fail("connect");
        usleep(1000);
    }
    return s;
}

static void send_all(int s, const char *bytes, size_t count) {
    while (count > 0) {
        ssize_t sent = send(s, bytes, count, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) fail("send");
        bytes += sent;
        count -= sent;
    }
}

/* Reads until answers have come, at least one; returns how many lines ended. */
static long receive(int s) {
    static char buffer[1 << 16];
    for (;;) {
        ssize_t count = recv(s, buffer, sizeof buffer, 0);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) fail("the daemon closed the connection");
        long lines = 0;
        for (char *at = buffer; (at = memchr(at, '\n', buffer + count - at)) != NULL; at++) lines++;
        if (memmem(buffer, count, "\"error\"", 7) != NULL) fail("the daemon answered with an error");
        if (lines > 0) return lines;
    }
}

static void pipeline(int s, long count, long window) {
    static char buffer[1 << 16];
    long sent = 0, answered = 0;
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    while (answered < count) {
        size_t filled = 0;
        while (sent < count && sent - answered < window && filled < sizeof buffer - 100)
            filled += sprintf(buffer + filled, CALL, sent++);
        send_all(s, buffer, filled);
        answered += receive(s);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    if (answered != count) fail("more answers than calls");
    double seconds = end.tv_sec - start.tv_sec + (end.tv_nsec - start.tv_nsec) / 1e9;
    printf("%.0f\n", count / seconds);
}

static void idle(const char *path, long count) {
    int last = -1;
    for (long i = 0; i < count; i++) last = connected(path);
    pipeline(last, 1, 1);
    fflush(stdout);
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {}
}

int main(int argc, char **argv) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (argc == 5 && strcmp(argv[2], "pipeline") == 0) {
        pipeline(connected(argv[1]), atol(argv[3]), atol(argv[4]));
    } else if (argc == 4 && strcmp(argv[2], "idle") == 0) {
        idle(argv[1], atol(argv[3]));
    } else {
        fprintf(stderr, "usage: control SOCKET pipeline COUNT WINDOW | control SOCKET idle COUNT\n");
        return 2;
    }
    return 0;
}
