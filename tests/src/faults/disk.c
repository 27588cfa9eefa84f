/* Stands between a program and its disk (LD_PRELOAD): records what it does to the files below one folder, and lets an
 * operation fail. It changes nothing else, and does nothing for other files.
 *
 * FAULTS_DISK_ROOT    the folder; nothing happens without it
 * FAULTS_DISK_TRACE   where to record, byte for byte, in the order of the effects (see trace.rs)
 * FAULTS_DISK_MARKS   a file outside of the folder whose writes are recorded as marks
 * FAULTS_DISK_FAIL    "N ERRNO LENGTH": operations N, N+1, ... N+LENGTH-1 fail, counted from 1; a write that fails for want
 *                     of room writes half of its bytes first; LENGTH 0 is for ever
 * FAULTS_DISK_FAILED  a file that is made when an operation has failed
 * FAULTS_DISK_SHARED  in the place of FAIL and FAILED, for programs of several processes that share a count: a file of four
 *                     numbers of 64 bits, which may change while they run: N (0 for none), ERRNO, LENGTH, and how many
 *                     operations there were since */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FDS = 4096, OBJECTS = 65536, MARKS = 0xffffffffu };

/* What a descriptor stands for: 0 for nothing of ours, else an object's number; a folder has its path. */
static uint32_t object_of[FDS];
static char *folder_of[FDS];
static struct { dev_t dev; ino_t ino; } objects[OBJECTS];
static uint32_t objects_known = 1;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX], marks[PATH_MAX];
static size_t root_length;
static int trace = -1;
static long fail_first, fail_length, fail_errno, operations;
static char failed_path[PATH_MAX];
static int64_t *shared;

__attribute__((constructor)) static void begin(void) {
    const char *text = getenv("FAULTS_DISK_ROOT");
    if (text == NULL || realpath(text, root) == NULL) return;
    root_length = strlen(root);
    if ((text = getenv("FAULTS_DISK_MARKS")) != NULL) snprintf(marks, sizeof marks, "%s", text);
    if ((text = getenv("FAULTS_DISK_TRACE")) != NULL) {
        int fd = (int)syscall(SYS_openat, AT_FDCWD, text, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        trace = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 900);
        syscall(SYS_close, fd);
    }
    if ((text = getenv("FAULTS_DISK_FAIL")) != NULL)
        if (sscanf(text, "%ld %ld %ld", &fail_first, &fail_errno, &fail_length) != 3) fail_first = 0;
    if ((text = getenv("FAULTS_DISK_SHARED")) != NULL) {
        int fd = (int)syscall(SYS_openat, AT_FDCWD, text, O_RDWR | O_CLOEXEC);
        void *map = mmap(NULL, 4 * sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED) abort();
        shared = map;
        syscall(SYS_close, fd);
    }
    if ((text = getenv("FAULTS_DISK_FAILED")) != NULL) snprintf(failed_path, sizeof failed_path, "%s", text);
}

/* One record: operation, object, offset or length, and two strings of bytes. Little endian. */
static void record(char operation, uint32_t object, uint64_t number, const void *a, size_t a_length, const void *b,
                   size_t b_length) {
    if (trace < 0) return;
    size_t length = 21 + a_length + b_length;
    unsigned char *bytes = malloc(length);
    if (bytes == NULL) abort();
    uint32_t lengths[2] = { (uint32_t)a_length, (uint32_t)b_length };
    bytes[0] = (unsigned char)operation;
    memcpy(bytes + 1, &object, 4);
    memcpy(bytes + 5, &number, 8);
    memcpy(bytes + 13, lengths, 8);
    if (a_length > 0) memcpy(bytes + 21, a, a_length);
    if (b_length > 0) memcpy(bytes + 21 + a_length, b, b_length);
    if (syscall(SYS_write, trace, bytes, length) != (long)length) abort();
    free(bytes);
}

static void record_path(char operation, uint32_t object, const char *path) {
    record(operation, object, 0, path, strlen(path), NULL, 0);
}

/* Whether this operation is one that has to fail; sets errno. */
static int fails(void) {
    if (shared != NULL) {
        int64_t first = __atomic_load_n(&shared[0], __ATOMIC_SEQ_CST);
        if (first == 0) return 0;
        int64_t number = __atomic_add_fetch(&shared[3], 1, __ATOMIC_SEQ_CST);
        if (number < first || number >= first + shared[2]) return 0;
        errno = (int)shared[1];
        return 1;
    }
    long number = ++operations;
    if (fail_first == 0 || number < fail_first) return 0;
    if (fail_length > 0 && number >= fail_first + fail_length) return 0;
    if (failed_path[0] != 0) {
        int fd = (int)syscall(SYS_openat, AT_FDCWD, failed_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (fd >= 0) syscall(SYS_close, fd);
    }
    errno = (int)fail_errno;
    return 1;
}

/* The absolute path; whether it is the folder or lies below it. */
static int below(int at, const char *path, char full[PATH_MAX]) {
    if (root_length == 0) return 0;
    if (path[0] == '/') {
        if (snprintf(full, PATH_MAX, "%s", path) >= PATH_MAX) return 0;
    } else {
        char base[PATH_MAX], link[64];
        ssize_t length;
        if (at == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
        else snprintf(link, sizeof link, "/proc/self/fd/%d", at);
        if ((length = readlink(link, base, sizeof base - 1)) < 0) return 0;
        base[length] = 0;
        if (snprintf(full, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) return 0;
    }
    return strncmp(full, root, root_length) == 0 && (full[root_length] == '/' || full[root_length] == 0);
}

/* The index of a write-ahead log lives in memory and is made anew after a crash. */
static int is_index(const char *path) {
    size_t length = strlen(path);
    return length > 4 && strcmp(path + length - 4, "-shm") == 0;
}

static uint32_t object(const struct stat *found, int is_new) {
    if (!is_new)
        for (uint32_t n = 1; n < objects_known; n++)
            if (objects[n].ino == found->st_ino && objects[n].dev == found->st_dev) return n;
    if (objects_known == OBJECTS) abort();
    /* The number of a file that is gone may be given again. */
    for (uint32_t n = 1; n < objects_known; n++)
        if (objects[n].ino == found->st_ino && objects[n].dev == found->st_dev) objects[n].ino = 0;
    objects[objects_known].ino = found->st_ino;
    objects[objects_known].dev = found->st_dev;
    return objects_known++;
}

static void forget(int fd) {
    if (fd < 0 || fd >= FDS) return;
    object_of[fd] = 0;
    free(folder_of[fd]);
    folder_of[fd] = NULL;
}

static int do_open(int at, const char *path, int flags, mode_t mode) {
    char full[PATH_MAX];
    int is_ours = below(at, path, full);
    pthread_mutex_lock(&lock);
    int exists = is_ours && faccessat(AT_FDCWD, full, F_OK, 0) == 0;
    int writes = (flags & O_ACCMODE) != O_RDONLY;
    int fd = -1;
    if (is_ours && writes && fails()) goto out;
    fd = (int)syscall(SYS_openat, at, path, flags, mode);
    if (fd < 0 || fd >= FDS) goto out;
    forget(fd);
    struct stat found;
    if (marks[0] != 0 && strcmp(path, marks) == 0) {
        object_of[fd] = MARKS;
    } else if (is_ours && !is_index(full) && fstat(fd, &found) == 0) {
        if (S_ISDIR(found.st_mode)) {
            folder_of[fd] = strdup(full);
        } else if (S_ISREG(found.st_mode) && writes) {
            uint32_t before = objects_known;
            object_of[fd] = object(&found, !exists);
            if (!exists) record_path('c', object_of[fd], full);
            else if (object_of[fd] >= before) record_path('e', object_of[fd], full);
            if (exists && (flags & O_TRUNC)) record('z', object_of[fd], 0, NULL, 0, NULL, 0);
        }
    }
out:
    pthread_mutex_unlock(&lock);
    return fd;
}

#define MODE \
    mode_t mode = 0; \
    if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE) { \
        va_list more; \
        va_start(more, flags); \
        mode = va_arg(more, mode_t); \
        va_end(more); \
    }

int open(const char *path, int flags, ...) { MODE return do_open(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE return do_open(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int at, const char *path, int flags, ...) { MODE return do_open(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE return do_open(at, path, flags | O_LARGEFILE, mode); }

int close(int fd) {
    pthread_mutex_lock(&lock);
    forget(fd);
    int done = (int)syscall(SYS_close, fd);
    pthread_mutex_unlock(&lock);
    return done;
}

/* offset -1: where the descriptor stands. */
static ssize_t do_write(int fd, const void *bytes, size_t length, off_t offset) {
    if (fd < 0 || fd >= FDS || object_of[fd] == 0)
        return offset < 0 ? syscall(SYS_write, fd, bytes, length) : syscall(SYS_pwrite64, fd, bytes, length, offset);
    pthread_mutex_lock(&lock);
    uint32_t object = object_of[fd];
    ssize_t done = -1;
    if (object == MARKS) {
        done = syscall(SYS_write, fd, bytes, length);
        record('k', 0, 0, bytes, length, NULL, 0);
        goto out;
    }
    if (fails()) {
        if (errno != ENOSPC || length < 2) goto out;
        length /= 2;
    }
    off_t at = offset;
    if (at < 0) {
        struct stat found;
        if (fcntl(fd, F_GETFL) & O_APPEND) at = fstat(fd, &found) == 0 ? found.st_size : 0;
        else at = lseek(fd, 0, SEEK_CUR);
    }
    done = offset < 0 ? syscall(SYS_write, fd, bytes, length) : syscall(SYS_pwrite64, fd, bytes, length, offset);
    if (done > 0) record('w', object, (uint64_t)at, bytes, (size_t)done, NULL, 0);
out:
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t write(int fd, const void *bytes, size_t length) { return do_write(fd, bytes, length, -1); }
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) { return do_write(fd, bytes, length, offset); }
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) { return do_write(fd, bytes, length, offset); }

/* Part by part: a failure leaves a short write, as one by the system can. */
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    ssize_t sum = 0;
    for (int n = 0; n < count; n++) {
        ssize_t done = do_write(fd, parts[n].iov_base, parts[n].iov_len, offset + sum);
        if (done < 0) return sum > 0 ? sum : done;
        sum += done;
        if ((size_t)done < parts[n].iov_len) break;
    }
    return sum;
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
    return pwritev(fd, parts, count, offset);
}

static int do_truncate(int fd, off_t length) {
    if (fd < 0 || fd >= FDS || object_of[fd] == 0) return (int)syscall(SYS_ftruncate, fd, length);
    pthread_mutex_lock(&lock);
    int done = -1;
    if (!fails()) done = (int)syscall(SYS_ftruncate, fd, length);
    if (done == 0) record('z', object_of[fd], (uint64_t)length, NULL, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return done;
}

int ftruncate(int fd, off_t length) { return do_truncate(fd, length); }
int ftruncate64(int fd, off64_t length) { return do_truncate(fd, length); }

static int do_sync(int fd, long call) {
    if (fd < 0 || fd >= FDS || (object_of[fd] == 0 && folder_of[fd] == NULL)) return (int)syscall(call, fd);
    pthread_mutex_lock(&lock);
    int done = -1;
    if (!fails()) done = (int)syscall(call, fd);
    if (done == 0) {
        if (folder_of[fd] != NULL) record_path('d', 0, folder_of[fd]);
        else record('s', object_of[fd], 0, NULL, 0, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    return done;
}

int fsync(int fd) { return do_sync(fd, SYS_fsync); }
int fdatasync(int fd) { return do_sync(fd, SYS_fdatasync); }

/* Changes of names: the call, then a record where it was done. */
#define NAME(operation, from, to, call) \
    pthread_mutex_lock(&lock); \
    int done = -1; \
    if (!fails()) done = (int)(call); \
    if (done == 0) record(operation, 0, 0, from, strlen(from), to, strlen(to)); \
    pthread_mutex_unlock(&lock); \
    return done;

static int do_rename(int at, const char *from, int to_at, const char *to) {
    char a[PATH_MAX], b[PATH_MAX];
    if (!below(at, from, a) || !below(to_at, to, b)) return (int)syscall(SYS_renameat2, at, from, to_at, to, 0);
    NAME('r', a, b, syscall(SYS_renameat2, at, from, to_at, to, 0))
}

int rename(const char *from, const char *to) { return do_rename(AT_FDCWD, from, AT_FDCWD, to); }
int renameat(int at, const char *from, int to_at, const char *to) { return do_rename(at, from, to_at, to); }

static int do_link(int at, const char *from, int to_at, const char *to, int flags) {
    char a[PATH_MAX], b[PATH_MAX];
    if (!below(at, from, a) || !below(to_at, to, b)) return (int)syscall(SYS_linkat, at, from, to_at, to, flags);
    NAME('l', a, b, syscall(SYS_linkat, at, from, to_at, to, flags))
}

int link(const char *from, const char *to) { return do_link(AT_FDCWD, from, AT_FDCWD, to, 0); }
int linkat(int at, const char *from, int to_at, const char *to, int flags) { return do_link(at, from, to_at, to, flags); }

static int do_unlink(int at, const char *path, int flags) {
    char full[PATH_MAX];
    if (!below(at, path, full) || is_index(full)) return (int)syscall(SYS_unlinkat, at, path, flags);
    NAME(flags & AT_REMOVEDIR ? 'x' : 'u', full, "", syscall(SYS_unlinkat, at, path, flags))
}

int unlink(const char *path) { return do_unlink(AT_FDCWD, path, 0); }
int unlinkat(int at, const char *path, int flags) { return do_unlink(at, path, flags); }
int rmdir(const char *path) { return do_unlink(AT_FDCWD, path, AT_REMOVEDIR); }

static int do_mkdir(int at, const char *path, mode_t mode) {
    char full[PATH_MAX];
    if (!below(at, path, full)) return (int)syscall(SYS_mkdirat, at, path, mode);
    NAME('m', full, "", syscall(SYS_mkdirat, at, path, mode))
}

int mkdir(const char *path, mode_t mode) { return do_mkdir(AT_FDCWD, path, mode); }
int mkdirat(int at, const char *path, mode_t mode) { return do_mkdir(at, path, mode); }
