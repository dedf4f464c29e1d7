#include "config.h"

#include "vmm/devstate.h"

#include "common/error.h"
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define SIZE_MAX_BYTES (64u << 20)

struct CsDeviceState
{
  CsMonitor *monitor; /* borrowed */
  int memfd;
  int writer; /* QEMU's side, write-only: its file offset is shared with QEMU */
  gint64 fdset;
};

CsDeviceState *
cs_device_state_new (CsMonitor *monitor, GError **error)
{
  cs_autofd int memfd = memfd_create ("clusnap-devices", MFD_CLOEXEC);
  if (memfd < 0)
    {
      cs_error_set_errno (error, errno, "cannot make a memory file for the device state");
      return NULL;
    }
  /* QEMU looks in an fd set for a descriptor of exactly the access mode it opens with. */
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", memfd);
  cs_autofd int writer = open (path, O_WRONLY | O_CLOEXEC);
  if (writer < 0)
    {
      cs_error_set_errno (error, errno, "cannot open the device state's memory file");
      return NULL;
    }
  gint64 fdset = cs_monitor_add_fd (monitor, writer, "clusnap-devices", error);
  if (fdset < 0)
    return NULL;
  CsDeviceState *state = g_new0 (CsDeviceState, 1);
  state->monitor = monitor;
  state->memfd = cs_fd_steal (&memfd);
  state->writer = cs_fd_steal (&writer);
  state->fdset = fdset;
  return state;
}

void
cs_device_state_free (CsDeviceState *state)
{
  if (state == NULL)
    return;
  cs_monitor_remove_fdset (state->monitor, state->fdset, NULL);
  close (state->writer);
  close (state->memfd);
  g_free (state);
}

/* live:false although the VM lives on: with live:true, a stopped QEMU also gives up its block nodes
 * (locks released, "active": false until cont), as if a migration had ended. */
bool
cs_device_state_save (CsDeviceState *state, GError **error)
{
  if (ftruncate (state->memfd, 0) < 0 || lseek (state->writer, 0, SEEK_SET) < 0)
    return cs_error_set_errno (error, errno, "cannot empty the device state's memory file");
  g_autofree char *path = g_strdup_printf ("/dev/fdset/%" G_GINT64_FORMAT, state->fdset);
  json_object *arguments = json_object_new_object ();
  json_object_object_add (arguments, "filename", json_object_new_string (path));
  json_object_object_add (arguments, "live", json_object_new_boolean (false));
  return cs_monitor_execute (state->monitor, "xen-save-devices-state", arguments, NULL, error);
}

/* Read, not mapped: QEMU could shrink the file under a mapping. */
GBytes *
cs_device_state_bytes (CsDeviceState *state, GError **error)
{
  struct stat info;
  if (fstat (state->memfd, &info) < 0)
    {
      cs_error_set_errno (error, errno, "cannot look at the device state");
      return NULL;
    }
  if (info.st_size > (off_t)SIZE_MAX_BYTES)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_REFUSED,
                   "%s: its device state has %" G_GINT64_FORMAT " MiB, more than the %u MiB that "
                   "clusnap takes from a guest",
                   cs_monitor_name (state->monitor), (gint64)info.st_size >> 20,
                   SIZE_MAX_BYTES >> 20);
      return NULL;
    }
  gsize length = (gsize)info.st_size;
  g_autofree guint8 *data = g_malloc (length + 1);
  if (!cs_fd_read_all (state->memfd, data, length, 0, "device state", error)
      || !cs_device_state_check (data, length, error))
    {
      g_prefix_error (error, "%s: ", cs_monitor_name (state->monitor));
      return NULL;
    }
  return g_bytes_new_take (g_steal_pointer (&data), length);
}
