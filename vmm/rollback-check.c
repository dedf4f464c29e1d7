/* Whether a VM is still what the snapshot describes: memory, disks, devices. */
#include "config.h"

#include "common/error.h"
#include "vmm/devstate.h"
#include "vmm/rollback-private.h"

#include <string.h>

static bool
refuse (const CsRollback *rollback, GError **error, const char *what)
{
  g_set_error (error, CS_ERROR, CS_ERROR_REFUSED,
               "VM '%s' is no longer what was saved: %s; undo that change, or shut the VM off and "
               "use `clusnap restore`",
               rollback->vm->ref->name, what);
  return false;
}

/* ---- memory ---- */

static const CsRamBlock *
find_block (GPtrArray *blocks, const char *name)
{
  for (guint i = 0; i < blocks->len; i++)
    if (g_str_equal (((const CsRamBlock *)g_ptr_array_index (blocks, i))->name, name))
      return g_ptr_array_index (blocks, i);
  return NULL;
}

static bool
is_saved_block (const CsRestoreDocument *document, const char *name)
{
  for (guint i = 0; i < document->blocks->len; i++)
    if (g_str_equal (g_array_index (document->blocks, CsRestoreBlock, i).name, name))
      return true;
  return false;
}

bool
cs_rollback_check_blocks (const CsRollback *rollback, GPtrArray *blocks, GError **error)
{
  const CsRestoreDocument *document = rollback->document;
  g_autofree char *what = NULL;
  for (guint i = 0; what == NULL && i < document->blocks->len; i++)
    {
      const CsRestoreBlock *saved = &g_array_index (document->blocks, CsRestoreBlock, i);
      const CsRamBlock *now = find_block (blocks, saved->name);
      if (now == NULL)
        what = g_strdup_printf ("RAM block '%s' is gone", saved->name);
      else if (now->used_length != saved->length)
        what = g_strdup_printf ("RAM block '%s' has %" G_GUINT64_FORMAT
                                " bytes and had %" G_GUINT64_FORMAT,
                                saved->name, now->used_length, saved->length);
    }
  for (guint i = 0; what == NULL && i < blocks->len; i++)
    {
      const CsRamBlock *now = g_ptr_array_index (blocks, i);
      if (!is_saved_block (document, now->name))
        what = g_strdup_printf ("RAM block '%s' is new", now->name);
    }
  return what == NULL || refuse (rollback, error, what);
}

/* ---- disks ---- */

static const CsDisk *
find_disk (GPtrArray *disks, const char *name)
{
  for (guint i = 0; i < disks->len; i++)
    if (g_str_equal (((const CsDisk *)g_ptr_array_index (disks, i))->name, name))
      return g_ptr_array_index (disks, i);
  return NULL;
}

bool
cs_rollback_check_disks (const CsRollback *rollback, GPtrArray *disks, GError **error)
{
  GPtrArray *saved_disks = rollback->document->disks;
  g_autofree char *what = NULL;
  for (guint i = 0; what == NULL && i < saved_disks->len; i++)
    {
      const CsDisk *saved = g_ptr_array_index (saved_disks, i);
      const CsDisk *now = find_disk (disks, saved->name);
      if (now == NULL)
        what = g_strdup_printf ("disk '%s' is gone", saved->name);
      else if (now->size != saved->size)
        what =
            g_strdup_printf ("disk '%s' has %" G_GUINT64_FORMAT " bytes and had %" G_GUINT64_FORMAT,
                             saved->name, now->size, saved->size);
    }
  for (guint i = 0; what == NULL && i < disks->len; i++)
    {
      const CsDisk *now = g_ptr_array_index (disks, i);
      if (find_disk (saved_disks, now->name) == NULL)
        what = g_strdup_printf ("disk '%s' is new", now->name);
    }
  return what == NULL || refuse (rollback, error, what);
}

/* ---- devices ---- */

/* An element of @sections that @others lack, or NULL. */
static const char *
find_missing (GPtrArray *sections, GPtrArray *others)
{
  g_autoptr (GHashTable) set = g_hash_table_new (g_str_hash, g_str_equal);
  for (guint i = 0; i < others->len; i++)
    g_hash_table_add (set, g_ptr_array_index (others, i));
  for (guint i = 0; i < sections->len; i++)
    if (!g_hash_table_contains (set, g_ptr_array_index (sections, i)))
      return g_ptr_array_index (sections, i);
  return NULL;
}

/* One command, which stops the VM and lets it run again by itself: nothing can leave it paused. */
static GPtrArray *
current_sections (CsRollback *rollback, GError **error)
{
  g_autoptr (CsDeviceState) state = cs_device_state_new (rollback->monitor, error);
  if (state == NULL || !cs_device_state_save (state, error))
    return NULL;
  g_autoptr (GBytes) bytes = cs_device_state_bytes (state, error);
  if (bytes == NULL)
    return NULL;
  gsize length;
  const void *data = g_bytes_get_data (bytes, &length);
  return cs_device_state_sections (data, length, error);
}

static GPtrArray *
saved_sections (CsRollback *rollback, GError **error)
{
  g_autoptr (GBytes) bytes =
      cs_image_read_bytes (rollback->target, rollback->document->device_volume, error);
  if (bytes == NULL)
    return NULL;
  gsize length;
  const void *data = g_bytes_get_data (bytes, &length);
  return cs_device_state_sections (data, length, error);
}

/* The order does not matter for loading. */
bool
cs_rollback_check_devices (CsRollback *rollback, GError **error)
{
  g_autoptr (GPtrArray) saved = saved_sections (rollback, error);
  g_autoptr (GPtrArray) now = saved != NULL ? current_sections (rollback, error) : NULL;
  if (now == NULL)
    {
      g_prefix_error (error, "VM '%s': ", rollback->vm->ref->name);
      return false;
    }
  const char *gone = find_missing (saved, now), *added = find_missing (now, saved);
  if (gone == NULL && added == NULL)
    return true;
  g_autofree char *what =
      g_strdup_printf ("the state of device '%s' %s", gone != NULL ? gone : added,
                       gone != NULL ? "is in the snapshot, but it has no such device now"
                                    : "is not in the snapshot");
  return refuse (rollback, error, what);
}
