/* -blockdev and -drive.
 *
 * A disk of the snapshot is found by its file's name; the overlay takes the file's place, and the
 * node above it becomes qcow2 where it was raw.  Its name stays: devices and bitmaps refer to it. A
 * writable flash (UEFI variables) is copied: its content comes with the memory, QEMU writes
 * it out.  Images that the guest cannot write stay shared.  Backing files of a disk are no
 * longer used by it (the overlay has its own) and are opened read-only.  Anything else that is
 * writable is refused. */
#include "config.h"

#include "vmm/clone-argv-private.h"

#include "common/error.h"
#include "vmm/disk-file.h"

#include <string.h>

static const char *const file_drivers[] = { "file", "host_device", "host_cdrom", NULL };
/* On top of another node; change nothing of what is stored. */
static const char *const filters[] = { "throttle", "copy-on-read", "blkdebug", NULL };
static const char *const formats[] = { "raw", "qcow2", NULL };
static const char *const nothing[] = { "null-co", "null-aio", NULL };

static CsCloneNode *
find_node (const CsCloneArgv *argv, const char *name)
{
  for (guint i = 0; name != NULL && i < argv->nodes->len; i++)
    {
      CsCloneNode *node = g_ptr_array_index (argv->nodes, i);
      if (g_strcmp0 (node->name, name) == 0)
        return node;
    }
  return NULL;
}

/* ---- which node is what ---- */

static bool
scan_blockdev (CsCloneArgv *argv, const char *text, GError **error)
{
  CsQemuOption *option = cs_qemu_option_parse (text, "driver", error);
  if (option == NULL)
    return false;
  CsCloneNode *node = g_new0 (CsCloneNode, 1);
  node->option = option;
  node->name = g_strdup (cs_qemu_option_get (option, "node-name"));
  g_ptr_array_add (argv->nodes, node);
  return true;
}

static bool
scan_machine (CsCloneArgv *argv, const char *text, GError **error)
{
  g_autoptr (CsQemuOption) option = cs_qemu_option_parse (text, "type", error);
  if (option == NULL)
    return false;
  static const char *const keys[] = { "pflash0", "pflash1" };
  for (gsize i = 0; i < G_N_ELEMENTS (keys); i++)
    if (cs_qemu_option_get (option, keys[i]) != NULL)
      g_hash_table_add (argv->flash, g_strdup (cs_qemu_option_get (option, keys[i])));
  return true;
}

/* From above to below: a chain of nodes is short. */
static void
mark_below (const CsCloneArgv *argv, CsCloneNode *node, bool backing, bool flash, guint depth)
{
  if (node == NULL || depth == 0)
    return;
  node->is_backing |= backing;
  node->is_flash |= flash;
  CsCloneNode *file = find_node (argv, cs_qemu_option_get (node->option, "file"));
  mark_below (argv, file, backing, flash, depth - 1);
  if (backing)
    mark_below (argv, find_node (argv, cs_qemu_option_get (node->option, "backing")), true, false,
                depth - 1);
}

bool
cs_clone_argv_scan_blocks (CsCloneArgv *argv, const char *const *arguments, GError **error)
{
  for (const char *const *at = arguments; at[0] != NULL && at[1] != NULL; at++)
    {
      const char *name = at[0][0] == '-' ? at[0] + (at[0][1] == '-' ? 2 : 1) : "";
      if (g_str_equal (name, "blockdev") && !scan_blockdev (argv, at[1], error))
        return false;
      if ((g_str_equal (name, "machine") || g_str_equal (name, "M"))
          && !scan_machine (argv, at[1], error))
        return false;
    }
  for (guint i = 0; i < argv->nodes->len; i++)
    {
      CsCloneNode *node = g_ptr_array_index (argv->nodes, i);
      CsCloneNode *file = find_node (argv, cs_qemu_option_get (node->option, "file"));
      if (file != NULL)
        file->above++;
      mark_below (argv, find_node (argv, cs_qemu_option_get (node->option, "backing")), true, false,
                  64);
      if (node->name != NULL && g_hash_table_contains (argv->flash, node->name))
        mark_below (argv, node, false, true, 64);
    }
  return true;
}

/* ---- -blockdev ---- */

/* @prefix: "" or "file.", where the file's members are. */
static const char *
sub (const CsQemuOption *option, const char *prefix, const char *key)
{
  g_autofree char *whole = g_strconcat (prefix, key, NULL);
  return cs_qemu_option_get (option, whole);
}

static void
sub_set (CsQemuOption *option, const char *prefix, const char *key, const char *value)
{
  g_autofree char *whole = g_strconcat (prefix, key, NULL);
  cs_qemu_option_set (option, whole, value);
}

static bool
become_qcow2 (CsCloneArgv *argv, CsQemuOption *option, GError **error)
{
  static const char *const partial[] = { "offset", "size", "encrypt.format", "data-file" };
  for (gsize i = 0; i < G_N_ELEMENTS (partial); i++)
    if (cs_qemu_option_get (option, partial[i]) != NULL)
      {
        cs_clone_argv_refuse (argv, error, "an image with '%s' cannot be replaced", partial[i]);
        return false;
      }
  cs_qemu_option_set (option, "driver", "qcow2");
  cs_qemu_option_remove (option, "backing");
  return true;
}

/* A file's node without a format's node above it: one qcow2 node of the same name.  What belongs to
 * the file goes below; the rest is for any node. */
static bool
put_format_above (CsCloneArgv *argv, CsQemuOption *option, const char *overlay, GError **error)
{
  static const char *const any[] = { "driver",  "node-name",     "read-only",   "auto-read-only",
                                     "discard", "detect-zeroes", "force-share", NULL };
  g_autoptr (GPtrArray) moved = g_ptr_array_new_with_free_func (g_free);
  for (guint i = 0; i < cs_qemu_option_n (option); i++)
    {
      const char *key = cs_qemu_option_key (option, i);
      if (!g_strv_contains (any, key) && !g_str_has_prefix (key, "cache."))
        g_ptr_array_add (moved, g_strdup (key));
    }
  for (guint i = 0; i < moved->len; i++)
    {
      const char *key = g_ptr_array_index (moved, i);
      g_autofree char *value = g_strdup (cs_qemu_option_get (option, key));
      cs_qemu_option_remove (option, key);
      if (!g_str_equal (key, "filename"))
        sub_set (option, "file.", key, value);
    }
  cs_qemu_option_set (option, "file.driver", "file");
  cs_qemu_option_set (option, "file.filename", overlay);
  return become_qcow2 (argv, option, error);
}

/* Whether a format's node (not a filter's) stands on @node. */
static bool
has_format_above (const CsCloneArgv *argv, const CsCloneNode *node)
{
  for (guint i = 0; node->name != NULL && i < argv->nodes->len; i++)
    {
      const CsCloneNode *other = g_ptr_array_index (argv->nodes, i);
      const char *driver = cs_qemu_option_get (other->option, "driver");
      if (g_strcmp0 (cs_qemu_option_get (other->option, "file"), node->name) == 0 && driver != NULL
          && g_strv_contains (formats, driver))
        return true;
    }
  return false;
}

/* @option describes a file at @prefix.  What it is decides. */
static bool
rewrite_file (CsCloneArgv *argv, CsCloneNode *node, CsQemuOption *option, const char *prefix,
              GError **error)
{
  g_autofree char *file = cs_clone_argv_absolute (argv, sub (option, prefix, "filename"));
  const char *overlay = cs_clone_plan_vm_overlay (argv->vm, file);
  if (overlay != NULL && node->is_backing)
    overlay = NULL;
  if (overlay != NULL && *prefix == '\0' && !has_format_above (argv, node))
    return put_format_above (argv, option, overlay, error);
  if (overlay != NULL)
    {
      sub_set (option, prefix, "filename", overlay);
      sub_set (option, prefix, "driver", "file");
      return *prefix == '\0' || become_qcow2 (argv, option, error);
    }
  if (cs_qemu_option_is_on (option, "read-only"))
    return true;
  if (node->is_flash)
    {
      sub_set (option, prefix, "filename", cs_clone_plan_vm_copy (argv->vm, file));
      return true;
    }
  if (node->is_backing)
    {
      cs_qemu_option_set_on (option, "read-only");
      return true;
    }
  cs_clone_argv_refuse (argv, error,
                        "'%s' is neither a disk of the snapshot nor read-only: two VMs cannot "
                        "both write to it",
                        file);
  return false;
}

/* A format's node on a node of its own: becomes qcow2 if that one is a disk's. */
static bool
rewrite_format (CsCloneArgv *argv, const CsCloneNode *node, CsQemuOption *option, GError **error)
{
  const CsCloneNode *file = find_node (argv, cs_qemu_option_get (option, "file"));
  const char *name = file != NULL ? cs_qemu_option_get (file->option, "filename") : NULL;
  if (node->is_backing && !cs_qemu_option_is_on (option, "read-only"))
    cs_qemu_option_set_on (option, "read-only");
  if (name == NULL || node->is_backing || node->is_flash)
    return true;
  g_autofree char *absolute = cs_clone_argv_absolute (argv, name);
  return !cs_clone_plan_vm_has_disk (argv->vm, absolute) || become_qcow2 (argv, option, error);
}

static bool
rewrite_node (CsCloneArgv *argv, CsCloneNode *node, CsQemuOption *option, GError **error)
{
  const char *driver = cs_qemu_option_get (option, "driver");
  const char *below = cs_qemu_option_get (option, "file.driver");
  bool read_only = cs_qemu_option_is_on (option, "read-only");
  if (driver == NULL)
    {
      cs_clone_argv_refuse (argv, error, "it has no driver");
      return false;
    }
  if (g_strv_contains (file_drivers, driver) && cs_qemu_option_get (option, "filename") != NULL)
    return rewrite_file (argv, node, option, "", error);
  if (g_strv_contains (formats, driver) && cs_qemu_option_get (option, "file.filename") != NULL
      && (below == NULL || g_strv_contains (file_drivers, below)))
    return rewrite_file (argv, node, option, "file.", error);
  if (g_strv_contains (formats, driver) && cs_qemu_option_get (option, "file") != NULL)
    return rewrite_format (argv, node, option, error);
  if (read_only || g_strv_contains (nothing, driver)
      || (g_strv_contains (filters, driver) && cs_qemu_option_get (option, "file") != NULL))
    return true;
  cs_clone_argv_refuse (argv, error,
                        "clusnap does not know how to give a clone its own '%s': only files "
                        "and block devices, raw or qcow2",
                        driver);
  return false;
}

char *
cs_clone_argv_blockdev (CsCloneArgv *argv, const char *text, GError **error)
{
  g_autoptr (CsQemuOption) option = cs_qemu_option_parse (text, "driver", error);
  if (option == NULL)
    return NULL;
  const char *name = cs_qemu_option_get (option, "node-name");
  CsCloneNode none = { 0 };
  CsCloneNode *node = find_node (argv, name);
  if (!rewrite_node (argv, node != NULL ? node : &none, option, error))
    return NULL;
  return cs_qemu_option_format (option);
}

/* ---- -drive ---- */

static bool
drive_is_read_only (const CsQemuOption *option)
{
  return cs_qemu_option_is_on (option, "readonly") || cs_qemu_option_is_on (option, "read-only")
         || g_strcmp0 (cs_qemu_option_get (option, "media"), "cdrom") == 0;
}

static bool
rewrite_drive (CsCloneArgv *argv, CsQemuOption *option, const char *key, GError **error)
{
  const char *file = cs_qemu_option_get (option, key);
  bool flash = g_strcmp0 (cs_qemu_option_get (option, "if"), "pflash") == 0;
  g_autofree char *absolute =
      cs_disk_file_has_protocol (file) ? NULL : cs_clone_argv_absolute (argv, file);
  const char *overlay = absolute != NULL ? cs_clone_plan_vm_overlay (argv->vm, absolute) : NULL;
  if (overlay != NULL && cs_qemu_option_is_on (option, "snapshot"))
    overlay = NULL;
  if (overlay != NULL)
    {
      cs_qemu_option_set (option, key, overlay);
      cs_qemu_option_remove (option, "backing");
      if (cs_qemu_option_get (option, "driver") != NULL)
        cs_qemu_option_set (option, "driver", "qcow2");
      else
        cs_qemu_option_set (option, "format", "qcow2");
      if (cs_qemu_option_get (option, "file.driver") != NULL)
        cs_qemu_option_set (option, "file.driver", "file");
      return true;
    }
  if (drive_is_read_only (option))
    return true;
  if (flash && absolute != NULL)
    {
      cs_qemu_option_set (option, key, cs_clone_plan_vm_copy (argv->vm, absolute));
      return true;
    }
  cs_clone_argv_refuse (argv, error,
                        "'%s' is neither a disk of the snapshot nor read-only: two VMs cannot "
                        "both write to it",
                        file);
  return false;
}

char *
cs_clone_argv_drive (CsCloneArgv *argv, const char *text, GError **error)
{
  g_autoptr (CsQemuOption) option = cs_qemu_option_parse (text, NULL, error);
  if (option == NULL)
    return NULL;
  const char *key = cs_qemu_option_get (option, "file") != NULL ? "file" : "file.filename";
  const char *driver = cs_qemu_option_get (option, "file.driver");
  if (cs_qemu_option_get (option, key) != NULL)
    return rewrite_drive (argv, option, key, error) ? cs_qemu_option_format (option) : NULL;
  if (driver == NULL || g_strv_contains (nothing, driver) || drive_is_read_only (option))
    return g_strdup (text);
  cs_clone_argv_refuse (argv, error, "clusnap does not know how to give a clone its own '%s'",
                        driver);
  return NULL;
}

char *
cs_clone_argv_pflash (CsCloneArgv *argv, const char *text, GError **error)
{
  g_autofree char *absolute = cs_clone_argv_absolute (argv, text);
  return g_strdup (cs_clone_plan_vm_copy (argv->vm, absolute));
}

char *
cs_clone_argv_hard_disk (CsCloneArgv *argv, const char *text, guint unit, GError **error)
{
  g_autofree char *absolute =
      cs_disk_file_has_protocol (text) ? NULL : cs_clone_argv_absolute (argv, text);
  const char *overlay = absolute != NULL ? cs_clone_plan_vm_overlay (argv->vm, absolute) : NULL;
  if (overlay != NULL)
    return g_strdup_printf ("file=%s,format=qcow2,index=%u,media=disk", overlay, unit);
  cs_clone_argv_refuse (argv, error, "it is no disk of the snapshot");
  return NULL;
}
