#include "config.h"

#include "vmm/disk-file.h"

#include "common/error.h"
#include "common/fd.h"
#include "common/json.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>

char *
cs_disk_file_absolute (pid_t pid, const char *path, GError **error)
{
  if (g_path_is_absolute (path))
    return g_strdup (path);
  g_autofree char *link = g_strdup_printf ("/proc/%d/cwd", (int)pid);
  g_autoptr (GError) local = NULL;
  g_autofree char *directory = g_file_read_link (link, &local);
  if (directory == NULL)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_GONE, "cannot find the directory of '%s': %s", path,
                   local->message);
      return NULL;
    }
  return g_build_filename (directory, path, NULL);
}

int
cs_disk_file_open (pid_t pid, const char *path, GError **error)
{
  g_autofree char *absolute = cs_disk_file_absolute (pid, path, error);
  if (absolute == NULL)
    return -1;
  g_autofree char *root_path = g_strdup_printf ("/proc/%d/root", (int)pid);
  cs_autofd int root = open (root_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0)
    {
      cs_error_set_errno (error, errno, "cannot open '%s'", root_path);
      return -1;
    }
  /* Through /proc/PID/root alone an absolute symbolic link on the way would lead to our root. */
  struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK, .resolve = RESOLVE_IN_ROOT };
  int fd = (int)syscall (SYS_openat2, root, absolute, &how, sizeof how);
  if (fd < 0)
    cs_error_set_errno (error, errno, "cannot open '%s'", absolute);
  return fd;
}

const char *
cs_disk_file_node (const CsBlockGraph *graph, pid_t pid, const char *driver, const char *path)
{
  g_autoptr (GPtrArray) nodes = cs_block_graph_nodes (graph);
  for (guint i = 0; i < nodes->len; i++)
    {
      const char *node = nodes->pdata[i];
      if (g_strcmp0 (cs_json_string (cs_block_graph_info (graph, node), "drv"), driver) != 0)
        continue;
      json_object *protocol = cs_block_graph_info (graph, cs_block_graph_protocol (graph, node));
      const char *file = cs_json_string (protocol, "file");
      g_autofree char *absolute = file != NULL ? cs_disk_file_absolute (pid, file, NULL) : NULL;
      if (g_strcmp0 (absolute, path) == 0)
        return node;
    }
  return NULL;
}

bool
cs_disk_file_has_protocol (const char *name)
{
  return name[strcspn (name, ":/")] == ':';
}
