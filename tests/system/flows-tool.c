/* The flows of interfaces in this namespace, without VMs.  The interfaces stand for taps.
 *
 *   flows-tool watch CLUSTER INTERFACE...
 *   flows-tool deps CLUSTER INTERFACE=MAC...    "A B FRAMES" per pair that is bound, and who was
 * not counted flows-tool time CLUSTER TIMES               us of a reading: median and longest
 *   flows-tool remove CLUSTER
 */
#include "config.h"

#include "common/fd.h"
#include "vmm/cluster-lines-private.h"
#include "vmm/netns.h"

#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#define OWNER "flows-tool"

static int
fail (const char *what, const GError *error)
{
  fprintf (stderr, "flows-tool: %s: %s\n", what, error ? error->message : "cannot");
  return EXIT_FAILURE;
}

static int
watch (CsFlows *flows, guint64 netns, int fd, char **interfaces)
{
  for (; *interfaces != NULL; interfaces++)
    {
      g_autoptr (GError) error = NULL;
      CsTap tap = { *interfaces, if_nametoindex (*interfaces), netns, fd };
      if (!cs_flows_watch (flows, &tap, &error))
        return fail (*interfaces, error);
    }
  return EXIT_SUCCESS;
}

/* A member as if it had been watched when its set was made. */
static CsLineMember *
member_of (const char *argument, guint64 netns, const GPtrArray *sets)
{
  g_auto (GStrv) words = g_strsplit (argument, "=", 2);
  guint64 mac;
  guint index = if_nametoindex (words[0]);
  CsLineMember *member = cs_line_member_new (words[0]);
  g_autofree char *name = cs_flows_set_name (index);
  const CsFlowSet *set = cs_flow_listing_find (sets, name);
  if (cs_mac_parse (words[1], &mac))
    g_array_append_val (member->macs, mac);
  member->countable = true;
  member->missed = false;
  member->pid = 1;
  g_ptr_array_add (member->watches, cs_watch_new (index, netns, set ? set->handle : 0));
  return member;
}

static void
print_pairs (const GPtrArray *members, GHashTable *frames)
{
  for (guint i = 0; i < members->len; i++)
    for (guint j = 0; j < members->len; j++)
      {
        const CsLineMember *a = g_ptr_array_index (members, i), *b = g_ptr_array_index (members, j);
        guint64 interval;
        guint sources;
        if (cs_line_depends_since (b->line, a->name, &interval, &sources))
          printf ("%s %s %" G_GUINT64_FORMAT "%s\n", a->name, b->name,
                  cs_account_frames (frames, i, j),
                  sources & (1u << CS_DEPENDENCY_UNCOUNTED) ? " uncounted" : "");
      }
}

static int
deps (CsFlows *flows, guint64 netns, char **arguments)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GHashTable) texts =
      g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, g_free);
  g_autoptr (GHashTable) frames = cs_account_frames_new ();
  g_autoptr (GPtrArray) members =
      g_ptr_array_new_with_free_func ((GDestroyNotify)cs_line_member_free);
  char *text = cs_flows_list (flows, netns, &error);
  if (text == NULL)
    return fail ("list", error);
  g_hash_table_insert (texts, g_memdup2 (&netns, sizeof netns), text);
  g_autoptr (GHashTable) sets = cs_account_parse (texts);
  for (; *arguments != NULL; arguments++)
    g_ptr_array_add (members, member_of (*arguments, netns, g_hash_table_lookup (sets, &netns)));
  cs_account (members, sets, frames, true);
  print_pairs (members, frames);
  return EXIT_SUCCESS;
}

static gint
by_value (gconstpointer a, gconstpointer b)
{
  gint64 x = *(const gint64 *)a, y = *(const gint64 *)b;
  return (x > y) - (x < y);
}

static int
measure (CsFlows *flows, guint64 netns, guint times)
{
  g_autoptr (GArray) all = g_array_new (FALSE, FALSE, sizeof (gint64));
  for (guint i = 0; i < times; i++)
    {
      g_autoptr (GError) error = NULL;
      gint64 begin = g_get_monotonic_time ();
      g_autofree char *text = cs_flows_list (flows, netns, &error);
      gint64 took = g_get_monotonic_time () - begin;
      if (text == NULL)
        return fail ("list", error);
      g_array_append_val (all, took);
    }
  g_array_sort (all, by_value);
  if (all->len > 0)
    printf ("%" G_GINT64_FORMAT " %" G_GINT64_FORMAT "\n",
            g_array_index (all, gint64, all->len / 2), g_array_index (all, gint64, all->len - 1));
  return EXIT_SUCCESS;
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  if (argc < 3)
    return fail ("flows-tool watch|deps|time|remove CLUSTER ...", NULL);
  g_autoptr (CsFlows) flows = cs_flows_new (OWNER, argv[2]);
  cs_autofd int fd = open ("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  guint64 netns = cs_netns_id (fd);
  if (!cs_flows_add_namespace (flows, netns, fd, &error))
    return fail ("namespace", error);
  if (strcmp (argv[1], "watch") == 0)
    return watch (flows, netns, fd, argv + 3);
  if (strcmp (argv[1], "deps") == 0)
    return deps (flows, netns, argv + 3);
  if (strcmp (argv[1], "time") == 0 && argc > 3)
    return measure (flows, netns, (guint)strtoul (argv[3], NULL, 10));
  cs_flows_remove (flows, netns);
  return EXIT_SUCCESS;
}
