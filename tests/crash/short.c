/* Loaded before the C library (LD_PRELOAD): writes to files and sockets take only part of what they are given, or are
   interrupted, as write(2) allows them to. Which ones is drawn anew in each process. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static __thread unsigned drawn;

static unsigned draw(unsigned below)
{
    if (!drawn)
        drawn = (unsigned)getpid() * 2654435761u ^ (unsigned)(size_t)&drawn;
    return (unsigned)rand_r((unsigned *)&drawn) % below;
}

/* How much is taken of n bytes; 0: the call is interrupted. Pipes and terminals are left alone: testers talk there. */
static size_t taken(int fd, size_t n)
{
    struct stat about;
    if (n < 2 || fstat(fd, &about) || !(S_ISREG(about.st_mode) || S_ISSOCK(about.st_mode)))
        return n;
    switch (draw(4)) {
    case 0:
        return 0;
    case 1:
        return n;
    default:
        return 1 + draw(n - 1);
    }
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define PART(n, call)                                                                                                  \
    size_t part = taken(fd, n);                                                                                        \
    if (!part && (n)) {                                                                                                \
        errno = EINTR;                                                                                                 \
        return -1;                                                                                                     \
    }                                                                                                                  \
    return call;

ssize_t write(int fd, const void *data, size_t n)
{
    PART(n, REAL(write)(fd, data, part))
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
{
    PART(n, REAL(pwrite)(fd, data, part, at))
}

ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at)
{
    PART(n, REAL(pwrite64)(fd, data, part, at))
}

ssize_t send(int fd, const void *data, size_t n, int flags)
{
    PART(n, REAL(send)(fd, data, part, flags))
}
