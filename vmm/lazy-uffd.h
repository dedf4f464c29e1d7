/* The userfaultfd ioctls of a lazy restore, on another process' memory.
 * Source: ioctl_userfaultfd(2), the kernel's Documentation/admin-guide/mm/userfaultfd.rst. */
#ifndef CS_VMM_LAZY_UFFD_H
#define CS_VMM_LAZY_UFFD_H

#include <glib.h>
#include <stdbool.h>

/* The features that cs_inject_userfaultfd must ask for. */
guint64 cs_uffd_lazy_features (void);

/* Addresses and lengths are bytes, multiples of the page size; @what names the range in errors. */
bool cs_uffd_register (int uffd, guint64 start, guint64 length, bool missing, const char *what,
                       GError **error);
bool cs_uffd_unregister (int uffd, guint64 start, guint64 length, const char *what, GError **error);
/* Write-protects all of the range, also what is not there yet (markers). */
bool cs_uffd_protect (int uffd, guint64 start, guint64 length, const char *what, GError **error);
/* Lets every thread that waits for a page of the range try again. */
void cs_uffd_wake (int uffd, guint64 start, guint64 length);

/* Puts @length bytes at @start, write-protected, and wakes who waits for them.  Returns 0 or an
 * errno; *@copied is what was put before that.  EEXIST: a page is there (nobody was woken);
 * ENOENT: nothing mapped or registered there; ESRCH: the process is gone; ENOMEM. */
int cs_uffd_copy (int uffd, guint64 start, const void *data, guint64 length, guint64 *copied);

#endif
