#include "config.h"

#include "common/error.h"
#include "common/fd.h"
#include "vmm/linux-uapi.h"
#include "vmm/tracker-private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define N_PAGES 4
#define WRITTEN_PAGE 2

static int
make_own_userfaultfd (GError **error)
{
  cs_autofd int uffd = (int)syscall (SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
  if (uffd < 0 && errno == EPERM)
    {
      cs_autofd int device = open ("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
      if (device >= 0)
        uffd = ioctl (device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
    }
  if (uffd < 0)
    {
      cs_error_set_errno (error, errno, "cannot make a userfaultfd");
      return -1;
    }
  struct uffdio_api api = { .api = UFFD_API, .features = CS_TRACKER_FEATURES };
  if (ioctl (uffd, UFFDIO_API, &api) == 0)
    return cs_fd_steal (&uffd);
  g_set_error (error, CS_ERROR, CS_ERROR_UNSUPPORTED,
               "this kernel's userfaultfd has no asynchronous write protection: Linux 6.7 or newer "
               "is needed");
  return -1;
}

/* The tracker's whole cycle on @memory of ours. */
static bool
try_on (char *memory, GError **error)
{
  int uffd = make_own_userfaultfd (error);
  if (uffd < 0)
    return false;
  g_autoptr (CsTracker) tracker = cs_tracker_new_from_fd (getpid (), uffd, error);
  if (tracker == NULL)
    return false;

  CsRamBlock block = { .name = (char *)"probe",
                       .host = (guint64)(guintptr)memory,
                       .used_length = N_PAGES * CS_PAGE_SIZE_HOST,
                       .max_length = N_PAGES * CS_PAGE_SIZE_HOST,
                       .page_size = CS_PAGE_SIZE_HOST };
  g_autoptr (GPtrArray) blocks = g_ptr_array_new ();
  g_ptr_array_add (blocks, &block);
  g_autoptr (CsBitmap) dirty = cs_bitmap_new (N_PAGES);
  if (!cs_tracker_set_blocks (tracker, blocks, NULL, error))
    return false;
  *(volatile char *)(memory + WRITTEN_PAGE * CS_PAGE_SIZE_HOST) = 1;
  if (!cs_tracker_scan (tracker, 0, dirty, error))
    return false;
  if (cs_bitmap_count (dirty) == 1 && cs_bitmap_test (dirty, WRITTEN_PAGE))
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_UNSUPPORTED,
               "this kernel's page tracking does not report what was written");
  return false;
}

bool
cs_tracker_probe (GError **error)
{
  void *memory = mmap (NULL, N_PAGES * CS_PAGE_SIZE_HOST, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return cs_error_set_errno (error, errno, "cannot map memory");
  bool good = try_on (memory, error);
  munmap (memory, N_PAGES * CS_PAGE_SIZE_HOST);
  return good;
}
