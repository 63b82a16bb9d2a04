/* A disk that a test can slow down, for every process started with this library in LD_PRELOAD.
 *
 * TEST_DISK_FILE names a file of three int64, which is mapped, so that a change is there at once: nanoseconds that each
 * sync takes longer, nanoseconds that each write takes longer, and the device whose regular files are meant (st_dev).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *delays;

__attribute__((constructor)) static void map_delays(void) {
    const char *path = getenv("TEST_DISK_FILE");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *mapped = mmap(NULL, 3 * sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED) delays = mapped;
}

static void wait_for(int file, int which) {
    struct stat status;
    int64_t ns = delays ? delays[which] : 0;
    int kept = errno;
    if (ns > 0 && !fstat(file, &status) && S_ISREG(status.st_mode) && (int64_t)status.st_dev == delays[2]) {
        struct timespec pause = {ns / 1000000000, ns % 1000000000};
        nanosleep(&pause, NULL);
    }
    errno = kept;
}

#define TRUE_CALL(result, name, ...) \
    static result (*true_call)(__VA_ARGS__); \
    if (!true_call) true_call = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

int fsync(int file) {
    TRUE_CALL(int, fsync, int);
    wait_for(file, 0);
    return true_call(file);
}

int fdatasync(int file) {
    TRUE_CALL(int, fdatasync, int);
    wait_for(file, 0);
    return true_call(file);
}

ssize_t write(int file, const void *from, size_t count) {
    TRUE_CALL(ssize_t, write, int, const void *, size_t);
    wait_for(file, 1);
    return true_call(file, from, count);
}

ssize_t pwrite(int file, const void *from, size_t count, off_t at) {
    TRUE_CALL(ssize_t, pwrite, int, const void *, size_t, off_t);
    wait_for(file, 1);
    return true_call(file, from, count, at);
}

ssize_t pwrite64(int file, const void *from, size_t count, off64_t at) {
    TRUE_CALL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
    wait_for(file, 1);
    return true_call(file, from, count, at);
}
