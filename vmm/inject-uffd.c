#include "config.h"

#include "common/error.h"
#include "common/fd.h"
#include "vmm/inject.h"
#include "vmm/linux-uapi.h"
#include "vmm/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* Theory of operation: a userfaultfd acts on the address space of who made it, not of who holds it.
 * So QEMU makes it (an injected system call), we take a copy (pidfd_getfd) and QEMU's is closed.
 *
 * userfaultfd(2) is for the privileged unless vm.unprivileged_userfaultfd is set.  Who has
 * /dev/userfaultfd open may make one by ioctl on it: we open it, QEMU gets that
 * descriptor over QMP, is made to call the ioctl, and forgets the descriptor again. */

#define DEVICE "/dev/userfaultfd"
#define PASSED_NAME "clusnap-userfaultfd"
#define FLAGS (O_CLOEXEC | O_NONBLOCK)

/* The number in process @pid of a descriptor of character device @device, or -1.  Any will do:
 * whoever opened it, it makes the same thing. */
static int
find_device (pid_t pid, dev_t device)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/fd", pid);
  g_autoptr (GDir) directory = g_dir_open (path, 0, NULL);
  const char *name;
  while (directory != NULL && (name = g_dir_read_name (directory)) != NULL)
    {
      g_autofree char *entry = g_build_filename (path, name, NULL);
      struct stat status;
      guint64 number;
      if (stat (entry, &status) == 0 && S_ISCHR (status.st_mode) && status.st_rdev == device
          && g_ascii_string_to_unsigned (name, 10, 0, G_MAXINT, &number, NULL))
        return (int)number;
    }
  return -1;
}

/* With the device already in QEMU: the ioctl, whose result goes to *@result. */
static bool
make_from_device (pid_t pid, dev_t device, long *result, GError **error)
{
  int number = find_device (pid, device);
  if (number < 0)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_FAILED,
                   "'" DEVICE "' was passed to process %d but is not in /proc/%d/fd", pid, pid);
      return false;
    }
  const unsigned long arguments[6] = { (unsigned long)number, USERFAULTFD_IOC_NEW, FLAGS };
  return cs_inject_syscall (pid, SYS_ioctl, arguments, result, error);
}

static json_object *
passed_name (void)
{
  json_object *arguments = json_object_new_object ();
  json_object_object_add (arguments, "fdname", json_object_new_string (PASSED_NAME));
  return arguments;
}

/* Undoes @number in the target on an error path, where the first error is the one to tell. */
static void
close_quietly (pid_t pid, long number)
{
  g_autoptr (GError) ignored = NULL;
  cs_inject_close (pid, (int)number, &ignored);
}

static bool
make_through_device (pid_t pid, CsMonitor *monitor, long *result, GError **error)
{
  cs_autofd int device = open (DEVICE, O_RDWR | O_CLOEXEC);
  struct stat status;
  if (device < 0 || fstat (device, &status) != 0)
    return cs_error_set_errno (error, errno, "cannot open '" DEVICE "'");
  if (!cs_monitor_execute_with_fd (monitor, "getfd", passed_name (), device, NULL, error))
    return false;
  bool made = make_from_device (pid, status.st_rdev, result, error);
  if (cs_monitor_execute (monitor, "closefd", passed_name (), NULL, made ? error : NULL))
    return made;
  if (made && *result >= 0)
    close_quietly (pid, *result);
  return false;
}

/* Makes one in the target; its number there, or -1. */
static int
make (pid_t pid, CsMonitor *monitor, GError **error)
{
  const unsigned long arguments[6] = { FLAGS };
  long result;
  if (!cs_inject_syscall (pid, SYS_userfaultfd, arguments, &result, error))
    return -1;
  if (result == -EPERM && monitor != NULL && !make_through_device (pid, monitor, &result, error))
    return -1;
  if (result >= 0)
    return (int)result;
  if (result == -ENOSYS)
    g_set_error (error, CS_ERROR, CS_ERROR_UNSUPPORTED,
                 "this kernel has no userfaultfd (CONFIG_USERFAULTFD): use another kernel");
  else
    cs_error_set_errno (error, (int)-result, "cannot make a userfaultfd in process %d", pid);
  return -1;
}

/* Our copy of descriptor @number of the target, with the API handshake done. */
static int
take_over (pid_t pid, int number, guint64 features, GError **error)
{
  cs_autofd int pidfd = (int)syscall (SYS_pidfd_open, pid, 0);
  cs_autofd int uffd = pidfd < 0 ? -1 : (int)syscall (SYS_pidfd_getfd, pidfd, number, 0);
  if (uffd < 0)
    {
      cs_error_set_errno (error, errno, "cannot take over the userfaultfd of process %d", pid);
      return -1;
    }
  struct uffdio_api api = { .api = UFFD_API, .features = features };
  if (ioctl (uffd, UFFDIO_API, &api) == 0)
    return cs_fd_steal (&uffd);
  if (errno == EINVAL)
    g_set_error (error, CS_ERROR, CS_ERROR_UNSUPPORTED,
                 "this kernel's userfaultfd lacks features of 0x%" G_GINT64_MODIFIER
                 "x: Linux 6.7 or newer is needed",
                 features);
  else
    cs_error_set_errno (error, errno, "UFFDIO_API for process %d", pid);
  return -1;
}

int
cs_inject_userfaultfd (pid_t pid, CsMonitor *monitor, guint64 features, int *keep, GError **error)
{
  int number = make (pid, monitor, error);
  if (number < 0)
    return -1;
  cs_autofd int uffd = take_over (pid, number, features, error);
  if (uffd < 0)
    {
      close_quietly (pid, number);
      return -1;
    }
  if (keep != NULL)
    *keep = number;
  else if (!cs_inject_close (pid, number, error))
    return -1;
  return cs_fd_steal (&uffd);
}
