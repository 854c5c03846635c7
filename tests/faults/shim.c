/* Loaded before the C library by the tests of faults: makes calls on some files fail, and moves the clock.
 *
 * The file that FAULTS names is read at each call, so a test can change its mind. A line is
 *     CALL PATH ERRNO     e.g. "write last_start_dates 28": writing to a file whose path has that in it fails
 *     clock SECONDS       the clock is off by so much
 * CALL is open (for writing), write, sync, truncate or rename. With the ERRNO 999 it hangs, until the rule is gone.
 * A rule that made a call fail is written to the file FAULTS.hit, so a test knows that it did. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static ssize_t rules(char *text, size_t size) {
    static int (*real_open)(const char *, int, ...);
    if (!real_open) real_open = dlsym(RTLD_NEXT, "open");
    const char *path = getenv("FAULTS");
    int fd = path ? real_open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return -1;
    ssize_t length = read(fd, text, size - 1);
    close(fd);
    if (length < 0) return -1;
    text[length] = 0;
    return length;
}

static void note(const char *of, const char *where, int error) {
    static int (*real_open)(const char *, int, ...);
    static ssize_t (*real_write)(int, const void *, size_t);
    if (!real_open) real_open = dlsym(RTLD_NEXT, "open");
    if (!real_write) real_write = dlsym(RTLD_NEXT, "write");
    char hit[4096], line[600];
    snprintf(hit, sizeof hit, "%s.hit", getenv("FAULTS"));
    int length = snprintf(line, sizeof line, "%s %s %d\n", of, where, error);
    int fd = real_open(hit, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) return;
    if (real_write(fd, line, length) < 0) abort();
    close(fd);
}

/* The error that a call on a path gives, or 0. */
static int fault(const char *call, const char *path) {
    char text[4096], *rest = text;
    if (rules(text, sizeof text) <= 0) return 0;
    for (char *line; (line = strsep(&rest, "\n"));) {
        char of[32], where[512];
        int error;
        if (sscanf(line, "%31s %511s %d", of, where, &error) == 3 && !strcmp(of, call) && strstr(path, where)) {
            note(of, where, error);
            return error;
        }
    }
    return 0;
}

static int fault_of_fd(const char *call, int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fault(call, path);
}

#define REAL(name) static __typeof__(name) *real; if (!real) real = dlsym(RTLD_NEXT, #name)
#define FAIL(error) do { int e; while ((e = (error)) == 999) usleep(20000); if (e) { errno = e; return -1; } } while (0)

int open64(const char *path, int flags, ...) {
    REAL(open64);
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    if (flags & (O_WRONLY | O_RDWR)) FAIL(fault("open", path));
    return real(path, flags, mode);
}
ssize_t write(int fd, const void *bytes, size_t size) { REAL(write); FAIL(fault_of_fd("write", fd)); return real(fd, bytes, size); }
ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) { REAL(pwrite64); FAIL(fault_of_fd("write", fd)); return real(fd, bytes, size, at); }
int fsync(int fd) { REAL(fsync); FAIL(fault_of_fd("sync", fd)); return real(fd); }
int fdatasync(int fd) { REAL(fdatasync); FAIL(fault_of_fd("sync", fd)); return real(fd); }
int ftruncate64(int fd, off64_t size) { REAL(ftruncate64); FAIL(fault_of_fd("truncate", fd)); return real(fd, size); }
int rename(const char *from, const char *to) { REAL(rename); FAIL(fault("rename", to)); return real(from, to); }

int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(clock_gettime);
    int result = real(clock, now);
    char text[4096];
    long seconds;
    if (result == 0 && clock == CLOCK_REALTIME && rules(text, sizeof text) > 0 && sscanf(text, "clock %ld", &seconds) == 1)
        now->tv_sec += seconds;
    return result;
}
