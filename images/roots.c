#include "config.h"

#include "images/roots.h"

#include "common/error.h"

struct CsRoots
{
  GMutex lock;
  /* all under lock; keys are owned */
  GHashTable *pins; /* id -> count */
  GHashTable *held;
  GHashTable *named;
  GHashTable *condemned;
};

static GHashTable *
new_set (void)
{
  return g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
}

CsRoots *
cs_roots_new (void)
{
  CsRoots *roots = g_new0 (CsRoots, 1);
  g_mutex_init (&roots->lock);
  roots->pins = new_set ();
  roots->held = new_set ();
  roots->named = new_set ();
  roots->condemned = new_set ();
  return roots;
}

void
cs_roots_free (CsRoots *roots)
{
  if (roots == NULL)
    return;
  g_hash_table_unref (roots->pins);
  g_hash_table_unref (roots->held);
  g_hash_table_unref (roots->named);
  g_hash_table_unref (roots->condemned);
  g_mutex_clear (&roots->lock);
  g_free (roots);
}

/* Lock held. */
static void
change_pin (CsRoots *roots, const char *image, int by)
{
  guint count = GPOINTER_TO_UINT (g_hash_table_lookup (roots->pins, image));
  g_assert (by > 0 || count > 0);
  count += (guint)by;
  if (count == 0)
    g_hash_table_remove (roots->pins, image);
  else
    g_hash_table_insert (roots->pins, g_strdup (image), GUINT_TO_POINTER (count));
}

void
cs_roots_pin (CsRoots *roots, const char *image)
{
  g_mutex_lock (&roots->lock);
  change_pin (roots, image, 1);
  g_mutex_unlock (&roots->lock);
}

void
cs_roots_unpin (CsRoots *roots, const char *image)
{
  g_mutex_lock (&roots->lock);
  change_pin (roots, image, -1);
  g_mutex_unlock (&roots->lock);
}

bool
cs_roots_try_pin (CsRoots *roots, const char *image, GError **error)
{
  g_mutex_lock (&roots->lock);
  bool condemned = g_hash_table_contains (roots->condemned, image);
  if (!condemned)
    change_pin (roots, image, 1);
  g_mutex_unlock (&roots->lock);
  if (condemned)
    g_set_error (error, CS_ERROR, CS_ERROR_NOT_FOUND,
                 "image '%s' belongs to no snapshot and is being removed", image);
  return !condemned;
}

void
cs_roots_hold (CsRoots *roots, const char *image)
{
  g_mutex_lock (&roots->lock);
  g_hash_table_add (roots->held, g_strdup (image));
  g_mutex_unlock (&roots->lock);
}

void
cs_roots_release (CsRoots *roots, const char *image)
{
  g_mutex_lock (&roots->lock);
  g_hash_table_remove (roots->held, image);
  g_mutex_unlock (&roots->lock);
}

void
cs_roots_name (CsRoots *roots, const char *image)
{
  g_mutex_lock (&roots->lock);
  g_hash_table_add (roots->named, g_strdup (image));
  g_hash_table_remove (roots->held, image);
  g_mutex_unlock (&roots->lock);
}

void
cs_roots_begin (CsRoots *roots)
{
  g_mutex_lock (&roots->lock);
  g_hash_table_remove_all (roots->named);
  g_mutex_unlock (&roots->lock);
}

void
cs_roots_lock (CsRoots *roots)
{
  g_mutex_lock (&roots->lock);
}

void
cs_roots_unlock (CsRoots *roots)
{
  g_mutex_unlock (&roots->lock);
}

static void
add_keys (GPtrArray *list, GHashTable *set)
{
  GHashTableIter iter;
  gpointer key;
  g_hash_table_iter_init (&iter, set);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    g_ptr_array_add (list, g_strdup (key));
}

GPtrArray *
cs_roots_list (CsRoots *roots)
{
  GPtrArray *list = g_ptr_array_new_with_free_func (g_free);
  add_keys (list, roots->pins);
  add_keys (list, roots->held);
  add_keys (list, roots->named);
  return list;
}

void
cs_roots_condemn (CsRoots *roots, const char *image)
{
  g_hash_table_add (roots->condemned, g_strdup (image));
}

void
cs_roots_end (CsRoots *roots)
{
  g_mutex_lock (&roots->lock);
  g_hash_table_remove_all (roots->condemned);
  g_mutex_unlock (&roots->lock);
}
