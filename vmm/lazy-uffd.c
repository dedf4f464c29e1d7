#include "config.h"

#include "vmm/lazy-uffd.h"

#include <errno.h>
#include <sched.h>

#include "common/error.h"
#include "vmm/linux-uapi.h"

guint64
cs_uffd_lazy_features (void)
{
  return UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM
         | UFFD_FEATURE_WP_UNPOPULATED | UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_MISSING_SHMEM;
}

bool
cs_uffd_register (int uffd, guint64 start, guint64 length, bool missing, const char *what,
                  GError **error)
{
  struct uffdio_register args = {
    .range = { .start = start, .len = length },
    .mode = UFFDIO_REGISTER_MODE_WP | (missing ? UFFDIO_REGISTER_MODE_MISSING : 0),
  };
  if (ioctl (uffd, UFFDIO_REGISTER, &args) != 0)
    return cs_error_set_errno (error, errno, "cannot register RAM block '%s' with userfaultfd",
                               what);
  return true;
}

bool
cs_uffd_unregister (int uffd, guint64 start, guint64 length, const char *what, GError **error)
{
  struct uffdio_range range = { .start = start, .len = length };
  if (ioctl (uffd, UFFDIO_UNREGISTER, &range) != 0)
    return cs_error_set_errno (error, errno, "cannot take RAM block '%s' out of userfaultfd", what);
  return true;
}

bool
cs_uffd_protect (int uffd, guint64 start, guint64 length, const char *what, GError **error)
{
  struct uffdio_writeprotect args = {
    .range = { .start = start, .len = length },
    .mode = UFFDIO_WRITEPROTECT_MODE_WP,
  };
  while (ioctl (uffd, UFFDIO_WRITEPROTECT, &args) != 0)
    if (errno != EAGAIN && errno != EINTR)
      return cs_error_set_errno (error, errno, "cannot write-protect RAM block '%s'", what);
  return true;
}

void
cs_uffd_wake (int uffd, guint64 start, guint64 length)
{
  struct uffdio_range range = { .start = start, .len = length };
  /* Fails only where nothing is registered any more; then nobody waits either. */
  while (ioctl (uffd, UFFDIO_WAKE, &range) != 0 && errno == EINTR)
    ;
}

int
cs_uffd_copy (int uffd, guint64 start, const void *data, guint64 length, guint64 *copied)
{
  *copied = 0;
  while (*copied < length)
    {
      struct uffdio_copy args = {
        .dst = start + *copied,
        .src = (guint64)(guintptr)data + *copied,
        .len = length - *copied,
        .mode = UFFDIO_COPY_MODE_WP,
      };
      int failed = ioctl (uffd, UFFDIO_COPY, &args) == 0 ? 0 : errno;
      if (failed == 0 || args.copy > 0)
        *copied += (guint64)args.copy; /* EAGAIN with a part done: an obstacle lies behind it */
      else if (failed == EAGAIN)
        sched_yield (); /* the address space is being changed */
      else if (failed != EINTR)
        return failed;
    }
  return 0;
}
