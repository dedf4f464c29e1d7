/* What only the guest itself can put right after it was taken back in time. */
#include "config.h"

#include "guest-agent/agent/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#ifndef RNDRESEEDCRNG
#define RNDRESEEDCRNG _IO ('R', 0x07)
#endif

#define NS_PER_SECOND 1000000000ull

const char *
agent_set_clock (uint64_t ns)
{
  struct timespec now = { .tv_sec = (time_t)(ns / NS_PER_SECOND),
                          .tv_nsec = (long)(ns % NS_PER_SECOND) };
  return clock_settime (CLOCK_REALTIME, &now) == 0 ? NULL : strerror (errno);
}

/* random(4).  Two VMs restored from one snapshot have the same generator: the host's bytes make
 * them differ. */
const char *
agent_reseed (const unsigned char *entropy, size_t length)
{
  struct rand_pool_info *info = calloc (1, sizeof *info + length);
  int fd = open ("/dev/urandom", O_RDWR | O_CLOEXEC);
  const char *reason = NULL;
  if (info == NULL || fd < 0)
    reason = strerror (errno);
  else
    {
      info->entropy_count = (int)(8 * length);
      info->buf_size = (int)length;
      memcpy (info->buf, entropy, length);
      if (ioctl (fd, RNDADDENTROPY, info) < 0 || ioctl (fd, RNDRESEEDCRNG) < 0)
        reason = strerror (errno);
      explicit_bzero (info, sizeof *info + length);
    }
  if (fd >= 0)
    close (fd);
  free (info);
  return reason;
}
