/* The time of day, off by QUORATE_TEST_CLOCK_OFF_S seconds; every other clock is right. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long off(void) {
  const char *said = getenv("QUORATE_TEST_CLOCK_OFF_S");
  return said ? atol(said) : 0;
}

int clock_gettime(clockid_t which, struct timespec *into) {
  int failed = (int)syscall(SYS_clock_gettime, which, into);
  if (!failed && which == CLOCK_REALTIME) into->tv_sec += off();
  return failed;
}

int gettimeofday(struct timeval *into, void *zone) {
  (void)zone;
  struct timespec now;
  int failed = clock_gettime(CLOCK_REALTIME, &now);
  if (!failed) *into = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
  return failed;
}

time_t time(time_t *into) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (into) *into = now.tv_sec;
  return now.tv_sec;
}
