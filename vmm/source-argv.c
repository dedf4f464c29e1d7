#include "config.h"

#include "vmm/source-argv.h"

#include "common/error.h"

#include <json.h>
#include <stdbool.h>
#include <string.h>

/* Keys whose value is a descriptor, in -netdev, -chardev, -device, -object, ... */
static const char *const fd_keys[] = { "fd", "fds", "vhostfd", "vhostfds", NULL };

/* "-S" and "--S" are the same to QEMU. */
static const char *
option_name (const char *argument)
{
  if (argument[0] != '-' || argument[1] == '\0')
    return NULL;
  return argument + (argument[1] == '-' ? 2 : 1);
}

static bool
is_fd_path (const char *value)
{
  return g_str_has_prefix (value, "/dev/fdset/") || g_str_has_prefix (value, "/dev/fd/")
         || g_str_has_prefix (value, "/proc/self/fd/");
}

/* @key: possibly dotted ("addr.type"); socket addresses of type fd have the number in .str. */
static bool
names_fd (const char *key, const char *value)
{
  const char *last = strrchr (key, '.');
  last = last != NULL ? last + 1 : key;
  return g_strv_contains (fd_keys, last) || is_fd_path (value)
         || (g_str_equal (last, "type") && g_str_equal (value, "fd"));
}

static bool
json_names_fd (json_object *value, const char *key)
{
  if (json_object_is_type (value, json_type_object))
    {
      json_object_object_foreach (value, name,
                                  member) if (json_names_fd (member, name)) return true;
      return false;
    }
  if (json_object_is_type (value, json_type_array))
    {
      for (gsize i = 0; i < json_object_array_length (value); i++)
        if (json_names_fd (json_object_array_get_idx (value, i), key))
          return true;
      return false;
    }
  return json_object_is_type (value, json_type_string)
         && names_fd (key, json_object_get_string (value));
}

/* "type,key=value,..." where a comma in a value is written twice, or JSON. */
static bool
argument_names_fd (const char *argument)
{
  if (argument[0] == '{')
    {
      json_object *value = json_tokener_parse (argument);
      bool found = json_names_fd (value, "");
      json_object_put (value);
      return found;
    }
  g_autofree char *text = g_strdup (argument);
  for (char *at = text; (at = strstr (at, ",,")) != NULL; at += 2)
    at[0] = at[1] = '_';
  g_auto (GStrv) parts = g_strsplit (text, ",", -1);
  for (char **part = parts; *part != NULL; part++)
    {
      char *equals = strchr (*part, '=');
      if (equals == NULL && is_fd_path (*part))
        return true;
      if (equals == NULL)
        continue;
      *equals = '\0';
      if (names_fd (*part, equals + 1))
        return true;
    }
  return false;
}

/* Whether @name's value is text for the guest or for people, in which nothing counts. */
static bool
is_free_text (const char *name)
{
  static const char *const options[] = { "append", "name", NULL };
  return g_strv_contains (options, name);
}

static bool
refuse (const char *argument, GError **error)
{
  g_set_error (error, CS_ERROR, CS_ERROR_REFUSED,
               "its QEMU was started with an open descriptor ('%s'), which nobody could hand over "
               "again at a restore: start QEMU with names instead (ifname=, path=), or let libvirt "
               "run it",
               argument);
  return false;
}

GStrv
cs_source_argv_clean (const char *const *arguments, GError **error)
{
  g_autoptr (GPtrArray) clean = g_ptr_array_new_with_free_func (g_free);
  for (const char *const *at = arguments; *at != NULL; at++)
    {
      const char *name = at > arguments ? option_name (*at) : NULL;
      bool more = at[1] != NULL;
      if (g_strcmp0 (name, "S") == 0 || g_strcmp0 (name, "daemonize") == 0)
        continue;
      if ((g_strcmp0 (name, "incoming") == 0 || g_strcmp0 (name, "loadvm") == 0) && more)
        {
          at++;
          continue;
        }
      if (g_strcmp0 (name, "add-fd") == 0 || (at > arguments && argument_names_fd (*at)))
        {
          refuse (*at, error);
          return NULL;
        }
      g_ptr_array_add (clean, g_strdup (*at));
      if (name != NULL && is_free_text (name) && more)
        g_ptr_array_add (clean, g_strdup (*++at));
    }
  g_ptr_array_add (clean, NULL);
  return (GStrv)g_ptr_array_free (g_steal_pointer (&clean), FALSE);
}
