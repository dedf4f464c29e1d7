#include "config.h"

#include "vmm/lazy-aside-private.h"

#include "common/error.h"
#include "common/fd.h"
#include "vmm/disk-private.h"
#include "vmm/source-xml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Not CS_DISK_PREFIX: what begins so is taken away before every capture. */
#define NODE_PREFIX "lazy-clusnap"
#define HOLD_PREFIX "hold-clusnap"

#define FILL ".clusnap-fill" /* how the name of an image ends that is set aside */

static bool
is_there (const char *path)
{
  struct stat info;
  return lstat (path, &info) == 0;
}

CsLazyAside *
cs_lazy_aside_from_path (const CsLazyAsideDisk *disk, const char *path)
{
  CsLazyAside *aside = g_new0 (CsLazyAside, 1);
  aside->disk = *disk;
  aside->path = g_strdup (path);
  aside->fill_path = g_strconcat (path, FILL, NULL);
  aside->overlay = g_strconcat (path, cs_source_overlay_suffix (disk->form->format), NULL);
  aside->node = g_strdup_printf (NODE_PREFIX "%u", disk->number);
  aside->hold = g_strdup_printf (HOLD_PREFIX "%u", disk->number);
  aside->job = g_strdup_printf (CS_LAZY_ASIDE_JOB "%03u", disk->number);
  aside->export = g_strdup_printf (CS_DISK_PREFIX "fill%03u", disk->number);
  aside->cancellable = g_cancellable_new ();
  return aside;
}

CsLazyAside *
cs_lazy_aside_new (const CsLazyAsideDisk *disk, const char *path, GError **error)
{
  g_autoptr (CsLazyAside) aside = cs_lazy_aside_from_path (disk, path);
  const char *left = is_there (aside->overlay)     ? aside->overlay
                     : is_there (aside->fill_path) ? aside->fill_path
                                                   : NULL;
  if (left == NULL)
    return g_steal_pointer (&aside);
  if (cs_lazy_aside_has_changed_over (aside))
    {
      g_set_error (error, CS_ERROR, CS_ERROR_EXISTS,
                   "'%s' is the disk as its guest left it after a restore that was interrupted at "
                   "its end: rename it to '%s' to keep it, or remove it to give it up",
                   aside->fill_path, aside->path);
      return NULL;
    }
  g_set_error (error, CS_ERROR, CS_ERROR_EXISTS,
               "'%s' is left from a restore that was interrupted: what the guest wrote after that "
               "is in '%s' only; remove both to give it up",
               left, aside->overlay);
  return NULL;
}

void
cs_lazy_aside_free (CsLazyAside *aside)
{
  if (aside == NULL)
    return;
  cs_lazy_aside_stop_fill (aside);
  g_clear_error (&aside->error);
  g_object_unref (aside->cancellable);
  g_free (aside->path);
  g_free (aside->fill_path);
  g_free (aside->overlay);
  g_free (aside->node);
  g_free (aside->hold);
  g_free (aside->job);
  g_free (aside->export);
  cs_disk_server_free (aside->server);
  g_free (aside);
}

void
cs_lazy_aside_discard (CsLazyAside *aside)
{
  cs_lazy_aside_stop_fill (aside);
  cs_lazy_aside_unlink (aside);
  unlink (aside->fill_path);
  unlink (aside->overlay);
}

const char *
cs_lazy_aside_path (const CsLazyAside *aside)
{
  return aside->path;
}

const char *
cs_lazy_aside_overlay (const CsLazyAside *aside)
{
  return aside->overlay;
}

char *
cs_lazy_aside_image (const char *path)
{
  g_autofree char *aside = g_strconcat (path, FILL, NULL);
  return g_strdup (is_there (aside) ? aside : path);
}

guint64
cs_lazy_aside_done (const CsLazyAside *aside)
{
  guint64 written = __atomic_load_n (&aside->written, __ATOMIC_RELAXED);
  guint64 content = __atomic_load_n (&aside->content, __ATOMIC_RELAXED);
  double share = content > 0 ? (double)MIN (written, content) / (double)content : 0;
  return (guint64)(share * (double)aside->disk.form->size);
}

const char *
cs_lazy_aside_form (const CsBlockGraph *graph, const char *node)
{
  if (node == NULL || !g_str_has_prefix (node, NODE_PREFIX))
    return node;
  g_autofree char *hold = g_strconcat (HOLD_PREFIX, node + strlen (NODE_PREFIX), NULL);
  const char *form = cs_block_graph_child (graph, hold, "file");
  return form != NULL ? form : node;
}

/* ---- names ---- */

bool
cs_lazy_aside_is_named (const CsLazyAside *aside)
{
  return !is_there (aside->fill_path);
}

bool
cs_lazy_aside_has_changed_over (const CsLazyAside *aside)
{
  return is_there (aside->fill_path) && !is_there (aside->overlay);
}

static bool
move (const char *from, const char *to, GError **error)
{
  return renameat2 (AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0
         || cs_error_set_errno (error, errno, "cannot rename '%s' to '%s'", from, to);
}

bool
cs_lazy_aside_take_name (CsLazyAside *aside, GError **error)
{
  cs_lazy_aside_unlink (aside);
  return (cs_lazy_aside_is_named (aside) || move (aside->fill_path, aside->path, error))
         && cs_directory_sync_of (aside->path, error);
}

bool
cs_lazy_aside_drop_name (CsLazyAside *aside, GError **error)
{
  cs_lazy_aside_unlink (aside);
  return (!cs_lazy_aside_is_named (aside) || move (aside->path, aside->fill_path, error))
         && cs_directory_sync_of (aside->path, error);
}

bool
cs_lazy_aside_link (CsLazyAside *aside, GError **error)
{
  cs_lazy_aside_unlink (aside);
  return symlink (aside->fill_path, aside->path) == 0
         || cs_error_set_errno (error, errno, "cannot make '%s'", aside->path);
}

/* What a killed clusnapd left as well. */
void
cs_lazy_aside_unlink (CsLazyAside *aside)
{
  g_autofree char *target = g_file_read_link (aside->path, NULL);
  if (g_strcmp0 (target, aside->fill_path) == 0)
    unlink (aside->path);
}
