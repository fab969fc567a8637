/* LD_PRELOAD: a wall clock that jumps a day ahead or back each second; monotonic clocks are right.
   cc -shared -fPIC -o wall_clock.so wall_clock.c -ldl */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>

typedef int (*clock_function)(clockid_t, struct timespec *);

static clock_function real_clock(void) {
  static clock_function found;
  if (!found) found = (clock_function)dlsym(RTLD_NEXT, "clock_gettime");
  return found;
}

static long long jump(void) {
  struct timespec now;
  real_clock()(CLOCK_MONOTONIC, &now);
  return now.tv_sec % 2 ? 86400 : -86400;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  int result = real_clock()(clock, time);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    time->tv_sec += jump();
  }
  return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  struct timespec time;
  (void)zone;
  int result = clock_gettime(CLOCK_REALTIME, &time);
  now->tv_sec = time.tv_sec;
  now->tv_usec = time.tv_nsec / 1000;
  return result;
}

time_t time(time_t *where) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (where) *where = now.tv_sec;
  return now.tv_sec;
}
