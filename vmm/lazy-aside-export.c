/* A qcow2 image of a bare VM set aside (lazy-aside.h): QEMU has it open, and nobody else may write
 * to it.  So it is written through QEMU's NBD server, of which there is one: what else needs that
 * comes first (hold), and disks are filled one after the other. */
#include "config.h"

#include "vmm/lazy-aside-private.h"

#include "common/error.h"
#include "vmm/disk-private.h"

bool
cs_lazy_aside_needs_export (const CsLazyAside *aside)
{
  return aside->disk.form->backing_file != NULL;
}

bool
cs_lazy_aside_is_exporting (const CsLazyAside *aside)
{
  return aside->server != NULL;
}

static bool
add_export (const CsLazyAside *aside, CsMonitor *monitor, const char *image, GError **error)
{
  json_object *arguments = cs_json_strings ("type", "nbd", "id", aside->export, "name",
                                            aside->export, "node-name", image, NULL);
  json_object_object_add (arguments, "writable", json_object_new_boolean (true));
  return cs_monitor_execute (monitor, "block-export-add", arguments, NULL, error);
}

static bool
remove_export (const CsLazyAside *aside, CsMonitor *monitor)
{
  return cs_monitor_execute (monitor, "block-export-del",
                             cs_json_strings ("id", aside->export, "mode", "hard", NULL), NULL,
                             NULL)
         && cs_disk_wait_absent (monitor, "query-block-exports", "id", aside->export, NULL)
         && cs_monitor_execute (monitor, "nbd-server-stop", NULL, NULL, NULL);
}

CsNbd *
cs_lazy_aside_export (CsLazyAside *aside, CsMonitor *monitor, const char *image, GError **error)
{
  /* One that a killed clusnapd left. */
  remove_export (aside, monitor);
  aside->server = cs_disk_server_start (monitor, aside->disk.directory, error);
  if (aside->server == NULL)
    return NULL;
  bool ok = add_export (aside, monitor, image, NULL);
  if (!ok && cs_lazy_aside_link (aside, error))
    {
      ok = add_export (aside, monitor, image, error);
      cs_lazy_aside_unlink (aside);
    }
  CsNbd *nbd =
      ok ? cs_nbd_connect (cs_disk_server_path (aside->server), aside->export, NULL, error) : NULL;
  if (nbd == NULL)
    cs_lazy_aside_end_export (aside, monitor);
  else
    cs_disk_server_close_door (aside->server);
  return nbd;
}

void
cs_lazy_aside_end_export (CsLazyAside *aside, CsMonitor *monitor)
{
  if (aside->server == NULL)
    return;
  if (!remove_export (aside, monitor))
    cs_monitor_execute (monitor, "nbd-server-stop", NULL, NULL, NULL);
  g_clear_pointer (&aside->server, cs_disk_server_free);
}
