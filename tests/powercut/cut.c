/* A library to preload. It counts the calls that change files below a directory, and kills the process at the n-th
 * such call or lets the call fail.
 *
 * cut_arm(directory, n, manner, log) arms it. From then on it counts each call of this process that writes, syncs,
 * renames, makes or removes the directory or anything below it. It writes a line for each to the descriptor `log`,
 * unless that is -1.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

enum how {
    NEVER,
    EIO_ONCE,       /* the n-th call fails */
    EROFS_FROM,     /* the n-th call and all later ones fail */
    ENOSPC_FROM,    /* a write as the n-th call writes half; from then on all calls that need room fail */
    SHORT_ONCE,     /* a write as the n-th call writes half and returns that */
    KILL,           /* the process is killed instead of the n-th call; a write has written half before */
};

#define EXPORT __attribute__((visibility("default")))
#define REAL(name) ((__typeof__(&name))real(#name))

static char below[PATH_MAX];
static atomic_int count;
static int cut_at, how = NEVER, log_to = -1;

EXPORT void cut_arm(const char *directory, int n, int manner, int log)
{
    snprintf(below, sizeof below, "%s", directory);
    count = 0;
    cut_at = n;
    log_to = log;
    how = manner;
}

EXPORT int cut_count(void) { return count; }

static void *real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (found == NULL)
        _exit(99);
    return found;
}

/* Stores the absolute path in `absolute`; returns whether it is the armed directory or below it. */
static int is_below(int at, const char *path, char *absolute)
{
    char link[64], base[PATH_MAX / 2];
    ssize_t length;

    if (path != NULL && path[0] == '/') {
        snprintf(absolute, PATH_MAX, "%s", path);
    } else {
        if (at == AT_FDCWD)
            snprintf(link, sizeof link, "/proc/self/cwd");
        else
            snprintf(link, sizeof link, "/proc/self/fd/%d", at);
        length = readlink(link, base, sizeof base - 1);
        if (length < 0)
            return 0;
        base[length] = 0;
        snprintf(absolute, PATH_MAX, path == NULL ? "%s" : "%s/%.2000s", base, path);
    }
    length = strlen(below);
    return strncmp(absolute, below, length) == 0 && (absolute[length] == '/' || absolute[length] == 0);
}

enum kind { ROOM, NO_ROOM, WRITES };

/* Counts a call. Returns 0 to do it, 1 to write half, -1 to fail with errno. */
static int count_call(enum kind kind, const char *what, const char *path, const char *to)
{
    int here = ++count;

    if (log_to >= 0)
        dprintf(log_to, "%s\t%s\t%s\n", what, path, to);
    if (how == NEVER || here < cut_at)
        return 0;
    if (how == ENOSPC_FROM) {
        if (kind == WRITES && here == cut_at)
            return 1;
        errno = ENOSPC;
        return kind == NO_ROOM ? 0 : -1;
    }
    if (how == EROFS_FROM) {
        errno = EROFS;
        return -1;
    }
    if (here > cut_at)
        return 0;
    if (how == KILL) {
        if (kind == WRITES)
            return 1;
        kill(getpid(), SIGKILL);
    }
    if (how == SHORT_ONCE)
        return kind == WRITES ? 1 : 0;
    errno = EIO;
    return -1;
}

static size_t cut_length(int verdict, size_t length) { return verdict == 1 ? length / 2 : length; }

static ssize_t written(int verdict, ssize_t length)
{
    if (verdict == 1 && how == KILL)
        kill(getpid(), SIGKILL);
    return length;
}

#define COUNTED(kind, at, path, what, to)                             \
    char absolute[PATH_MAX];                                          \
    int verdict = 0;                                                  \
    if (is_armed() && is_below(at, path, absolute)) {                 \
        verdict = count_call(kind, what, absolute, to);               \
        if (verdict < 0)                                              \
            return -1;                                                \
    }                                                                 \
    (void)verdict

static int is_armed(void) { return below[0] != 0; }

EXPORT ssize_t write(int fd, const void *data, size_t length)
{
    COUNTED(WRITES, fd, NULL, "write", "");
    return written(verdict, REAL(write)(fd, data, cut_length(verdict, length)));
}

EXPORT ssize_t sendfile64(int to, int from, off64_t *offset, size_t length)
{
    COUNTED(WRITES, to, NULL, "write", "");
    return written(verdict, REAL(sendfile64)(to, from, offset, verdict == 1 ? 100 : length));
}

EXPORT ssize_t copy_file_range(int from, off64_t *at_from, int to, off64_t *at_to, size_t length, unsigned flags)
{
    COUNTED(WRITES, to, NULL, "write", "");
    return written(verdict, REAL(copy_file_range)(from, at_from, to, at_to, verdict == 1 ? 100 : length, flags));
}

/* SQLite writes at an offset. */
EXPORT ssize_t pwrite64(int fd, const void *data, size_t length, off64_t at)
{
    COUNTED(WRITES, fd, NULL, "write", "");
    return written(verdict, REAL(pwrite64)(fd, data, cut_length(verdict, length), at));
}

EXPORT ssize_t pwrite(int fd, const void *data, size_t length, off_t at)
{
    return pwrite64(fd, data, length, at);
}

EXPORT int ftruncate64(int fd, off64_t length)
{
    COUNTED(ROOM, fd, NULL, "write", "");
    return REAL(ftruncate64)(fd, length);
}

EXPORT int ftruncate(int fd, off_t length)
{
    return ftruncate64(fd, length);
}

EXPORT int fsync(int fd)
{
    COUNTED(ROOM, fd, NULL, "sync", "");
    return REAL(fsync)(fd);
}

EXPORT int fdatasync(int fd)
{
    COUNTED(ROOM, fd, NULL, "sync", "");
    return REAL(fdatasync)(fd);
}

EXPORT int openat64(int at, const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = va_arg(more, mode_t);
    va_end(more);
    if (flags & (O_CREAT | O_TRUNC)) {
        COUNTED(ROOM, at, path, "create", "");
    }
    return REAL(openat64)(at, path, flags, mode);
}

EXPORT int open64(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = va_arg(more, mode_t);
    va_end(more);
    return openat64(AT_FDCWD, path, flags, mode);
}

EXPORT int open(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = va_arg(more, mode_t);
    va_end(more);
    return openat64(AT_FDCWD, path, flags, mode);
}

EXPORT int openat(int at, const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = va_arg(more, mode_t);
    va_end(more);
    return openat64(at, path, flags, mode);
}

EXPORT int rename(const char *from, const char *to)
{
    COUNTED(NO_ROOM, AT_FDCWD, from, "rename", to);
    return REAL(rename)(from, to);
}

EXPORT int mkdir(const char *path, mode_t mode)
{
    COUNTED(ROOM, AT_FDCWD, path, "mkdir", "");
    return REAL(mkdir)(path, mode);
}

EXPORT int unlink(const char *path)
{
    COUNTED(NO_ROOM, AT_FDCWD, path, "unlink", "");
    return REAL(unlink)(path);
}

EXPORT int rmdir(const char *path)
{
    COUNTED(NO_ROOM, AT_FDCWD, path, "unlink", "");
    return REAL(rmdir)(path);
}

EXPORT int unlinkat(int at, const char *path, int flags)
{
    COUNTED(NO_ROOM, at, path, "unlink", "");
    return REAL(unlinkat)(at, path, flags);
}
