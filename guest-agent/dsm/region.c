/* Pages that are missing fault, pages that are only read are write-protected.
 *
 * Protecting and dropping change page tables, so the kernel interrupts every CPU that runs the
 * program; what such a CPU has stored but not yet written out is written out by that (the
 * processor's manual: interrupts drain the store buffer). Hence a store that lost its page is
 * either in what is read here, or it faults: no fence is needed in the program for the order
 * between nodes. */
#define _GNU_SOURCE
#include "guest-agent/dsm/region.h"

#include "guest-agent/dsm/clusdsm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

struct CsRegion
{
  uint8_t *memory;
  size_t size;
  int fd, empty; /* empty: a file without content, whose mapping gives SIGBUS */
};

/* Faults from inside system calls too where that is allowed. */
static int
open_userfaultfd (void)
{
  int fd = (int)syscall (SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
  if (fd < 0 && errno == EPERM)
    fd = (int)syscall (SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
  return fd;
}

static bool
set_up (CsRegion *region, const char **why)
{
  *why = "userfaultfd is not available (kernel without CONFIG_USERFAULTFD, or a seccomp filter)";
  region->fd = open_userfaultfd ();
  if (region->fd < 0)
    return false;
  *why = "the kernel has no write protection by userfaultfd";
  struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP };
  if (ioctl (region->fd, UFFDIO_API, &api) < 0)
    return false;
  *why = "no memory for the region";
  region->memory = mmap (NULL, region->size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  region->empty = memfd_create ("clusdsm-lost", MFD_CLOEXEC);
  if (region->memory == MAP_FAILED || region->empty < 0)
    return false;
  /* A huge page would be installed and dropped as one; errors only mean that the kernel has none.
   */
  madvise (region->memory, region->size, MADV_NOHUGEPAGE);
  madvise (region->memory, region->size, MADV_DONTFORK);
  *why = "userfaultfd does not take the region";
  struct uffdio_register request = {
    .range = { (uintptr_t)region->memory, region->size },
    .mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP,
  };
  return ioctl (region->fd, UFFDIO_REGISTER, &request) == 0;
}

CsRegion *
cs_region_new (uint32_t pages, const char **why)
{
  *why = "no memory";
  CsRegion *region = calloc (1, sizeof *region);
  if (region == NULL)
    return NULL;
  *region = (CsRegion){ .memory = MAP_FAILED, .fd = -1, .empty = -1 };
  region->size = (size_t)pages * CS_DSM_PAGE;
  if (set_up (region, why))
    return region;
  int saved = errno;
  cs_region_free (region);
  errno = saved;
  return NULL;
}

void
cs_region_free (CsRegion *region)
{
  if (region == NULL)
    return;
  if (region->memory != MAP_FAILED)
    munmap (region->memory, region->size);
  if (region->fd >= 0)
    close (region->fd);
  if (region->empty >= 0)
    close (region->empty);
  free (region);
}

void *
cs_region_memory (const CsRegion *region)
{
  return region->memory;
}

int
cs_region_fd (const CsRegion *region)
{
  return region->fd;
}

static uintptr_t
at (const CsRegion *region, uint32_t page)
{
  return (uintptr_t)region->memory + (size_t)page * CS_DSM_PAGE;
}

/* The protocol and memory would no longer agree: nothing may go on. */
static void
must (int result, const char *what)
{
  if (result == 0)
    return;
  fprintf (stderr, "clusdsm: %s: %s\n", what, strerror (errno));
  abort ();
}

bool
cs_region_fault (CsRegion *region, uint32_t *page, bool *write)
{
  struct uffd_msg message;
  while (read (region->fd, &message, sizeof message) == (ssize_t)sizeof message)
    {
      if (message.event != UFFD_EVENT_PAGEFAULT)
        continue;
      *page = (uint32_t)((message.arg.pagefault.address - (uintptr_t)region->memory) / CS_DSM_PAGE);
      *write =
          (message.arg.pagefault.flags & (UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP)) != 0;
      return true;
    }
  return false;
}

void
cs_region_install (CsRegion *region, uint32_t page, const uint8_t *content, bool writable)
{
  static const uint8_t zeros[CS_DSM_PAGE];
  struct uffdio_copy request;
  int result;
  do
    {
      request = (struct uffdio_copy){
        .dst = at (region, page),
        .src = (uintptr_t)(content != NULL ? content : zeros),
        .len = CS_DSM_PAGE,
        .mode = writable ? 0 : UFFDIO_COPY_MODE_WP,
      };
      result = ioctl (region->fd, UFFDIO_COPY, &request);
    }
  while (result < 0 && errno == EAGAIN);
  must (result, "cannot install a page");
}

static void
set_protection (CsRegion *region, uint32_t page, uint64_t mode)
{
  struct uffdio_writeprotect request = { { at (region, page), CS_DSM_PAGE }, mode };
  int result;
  do
    result = ioctl (region->fd, UFFDIO_WRITEPROTECT, &request);
  while (result < 0 && errno == EAGAIN);
  must (result, "cannot change a page's protection");
}

void
cs_region_allow (CsRegion *region, uint32_t page)
{
  set_protection (region, page, 0);
}

void
cs_region_protect (CsRegion *region, uint32_t page)
{
  set_protection (region, page, UFFDIO_WRITEPROTECT_MODE_WP);
}

void
cs_region_drop (CsRegion *region, uint32_t page)
{
  must (madvise ((void *)at (region, page), CS_DSM_PAGE, MADV_DONTNEED), "cannot drop a page");
}

void
cs_region_read (const CsRegion *region, uint32_t page, uint8_t *content)
{
  memcpy (content, (const void *)at (region, page), CS_DSM_PAGE);
}

void
cs_region_wake (CsRegion *region, uint32_t page)
{
  struct uffdio_range range = { at (region, page), CS_DSM_PAGE };
  must (ioctl (region->fd, UFFDIO_WAKE, &range), "cannot wake who waits for a page");
}

void
cs_region_poison (CsRegion *region, uint32_t page)
{
  void *lost = mmap ((void *)at (region, page), CS_DSM_PAGE, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_FIXED, region->empty, 0);
  must (lost == MAP_FAILED ? -1 : 0, "cannot take a lost page away");
  cs_region_wake (region, page);
}
