#include "config.h"

#include "coord/cluster-directory.h"

#include "common/error.h"
#include "common/fd.h"
#include "coord/name.h"

#include <errno.h>
#include <string.h>

#define SUFFIX ".yaml"

static char *
path_of (const char *state_directory, const char *name)
{
  g_autofree char *file = g_strconcat (name, SUFFIX, NULL);
  return g_build_filename (state_directory, "clusters", file, NULL);
}

static bool
set_not_found (const char *state_directory, const char *name, GError **error)
{
  g_auto (GStrv) names = cs_cluster_directory_list (state_directory, NULL);
  g_autofree char *known = names != NULL && names[0] != NULL ? g_strjoinv (", ", names) : NULL;
  g_set_error (error, CS_ERROR, CS_ERROR_NOT_FOUND,
               "there is no cluster '%s' in '%s' (%s%s): make it with 'clusnap cluster create'",
               name, state_directory, known != NULL ? "there are: " : "none is defined",
               known != NULL ? known : "");
  return false;
}

static bool
write_cluster (const char *state_directory, const CsCluster *cluster, bool replace, GError **error)
{
  gsize length = 0;
  g_autofree char *yaml = cs_cluster_to_yaml (cluster, &length, error);
  if (yaml == NULL)
    return false;
  g_autofree char *path = path_of (state_directory, cs_cluster_name (cluster));
  g_autofree char *directory = g_path_get_dirname (path);
  if (g_mkdir_with_parents (directory, 0700) < 0)
    return cs_error_set_errno (error, errno, "cannot make directory '%s'", directory);
  g_autoptr (GError) failure = NULL;
  if (cs_file_commit (path, yaml, length, replace, &failure))
    return true;
  if (g_error_matches (failure, CS_ERROR, CS_ERROR_EXISTS))
    g_set_error (error, CS_ERROR, CS_ERROR_EXISTS,
                 "cluster '%s' exists already: choose another name, or remove it first with "
                 "'clusnap cluster delete %s'",
                 cs_cluster_name (cluster), cs_cluster_name (cluster));
  else
    g_propagate_prefixed_error (error, g_steal_pointer (&failure),
                                "cannot keep cluster '%s': ", cs_cluster_name (cluster));
  return false;
}

bool
cs_cluster_directory_add (const char *state_directory, const CsCluster *cluster, GError **error)
{
  return write_cluster (state_directory, cluster, false, error);
}

bool
cs_cluster_directory_replace (const char *state_directory, const CsCluster *cluster, GError **error)
{
  return write_cluster (state_directory, cluster, true, error);
}

CsCluster *
cs_cluster_directory_get (const char *state_directory, const char *name, GError **error)
{
  if (!cs_name_check ("cluster", name, error))
    return NULL;
  g_autofree char *path = path_of (state_directory, name);
  g_autoptr (GError) failure = NULL;
  g_autoptr (CsCluster) cluster = cs_cluster_read (path, &failure);
  if (g_error_matches (failure, CS_ERROR, CS_ERROR_NOT_FOUND))
    set_not_found (state_directory, name, error);
  else if (cluster == NULL)
    g_propagate_error (error, g_steal_pointer (&failure));
  else if (strcmp (cs_cluster_name (cluster), name) == 0)
    return g_steal_pointer (&cluster);
  else
    g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
                 "cluster file '%s': key 'name': it says '%s', the file's name says '%s'", path,
                 cs_cluster_name (cluster), name);
  return NULL;
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(char *const *)a, *(char *const *)b);
}

char **
cs_cluster_directory_list (const char *state_directory, GError **error)
{
  g_autofree char *path = g_build_filename (state_directory, "clusters", NULL);
  g_autoptr (GError) failure = NULL;
  g_autoptr (GDir) directory = g_dir_open (path, 0, &failure);
  if (directory == NULL && !g_error_matches (failure, G_FILE_ERROR, G_FILE_ERROR_NOENT))
    {
      g_set_error (error, CS_ERROR, CS_ERROR_IO, "cannot list the clusters: %s", failure->message);
      return NULL;
    }
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  const char *file;
  while (directory != NULL && (file = g_dir_read_name (directory)) != NULL)
    if (g_str_has_suffix (file, SUFFIX))
      {
        g_autofree char *name = g_strndup (file, strlen (file) - strlen (SUFFIX));
        if (cs_name_check ("cluster", name, NULL))
          g_ptr_array_add (names, g_steal_pointer (&name));
      }
  g_ptr_array_sort (names, compare_names);
  g_ptr_array_add (names, NULL);
  return (char **)g_ptr_array_free (g_steal_pointer (&names), FALSE);
}

bool
cs_cluster_directory_remove (const char *state_directory, const char *name, GError **error)
{
  if (!cs_name_check ("cluster", name, error))
    return false;
  g_autofree char *path = path_of (state_directory, name);
  if (unlink (path) == 0)
    return cs_directory_sync_of (path, error);
  if (errno == ENOENT)
    return set_not_found (state_directory, name, error);
  return cs_error_set_errno (error, errno, "cannot remove cluster file '%s'", path);
}
