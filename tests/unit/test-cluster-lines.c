/* What readings of the counters mean for a cluster's VMs; no kernel's counters are used. */
#include "config.h"

#include "common/error.h"
#include "tests/unit/unit.h"
#include "vmm/cluster-lines-private.h"
#include "vmm/process.h"

#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NETNS G_GUINT64_CONSTANT (4026531840)

/* VM number i has MAC 00:00:00:00:00:0i and is counted by set tap<i>. */
static GPtrArray *
members_new (guint n)
{
  GPtrArray *members = g_ptr_array_new_with_free_func ((GDestroyNotify)cs_line_member_free);
  for (guint i = 0; i < n; i++)
    {
      guint64 mac = i;
      g_autofree char *name = g_strdup_printf ("vm%u", i);
      CsLineMember *member = cs_line_member_new (name);
      g_array_append_val (member->macs, mac);
      g_ptr_array_add (member->watches, cs_watch_new (i, NETNS, 100 + i));
      member->countable = true;
      member->missed = false;
      member->pid = 1;
      g_ptr_array_add (members, member);
    }
  return members;
}

static CsLineMember *
member_at (GPtrArray *members, guint i)
{
  return g_ptr_array_index (members, i);
}

/* @flows: "TAP SOURCE DESTINATION FRAMES;..." with the MACs' last bytes, "g" for a group. */
static GHashTable *
sets_new (guint n, const char *flows)
{
  GHashTable *texts = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, g_free);
  g_autoptr (GString) text = g_string_new ("{\"nftables\": [");
  g_auto (GStrv) all = g_strsplit (flows, ";", -1);
  for (guint i = 0; i < n; i++)
    {
      const char *comma = "";
      g_string_append_printf (text,
                              "%s{\"set\": {\"name\": \"tap%u\", \"handle\": %u, \"size\": 4, "
                              "\"elem\": [",
                              i > 0 ? "," : "", i, 100 + i);
      for (char **flow = all; *flow != NULL && **flow != '\0'; flow++)
        {
          guint tap, source, frames;
          char to[3];
          ck_assert_int_eq (sscanf (*flow, "%u %x %2s %u", &tap, &source, to, &frames), 4);
          if (tap != i)
            continue;
          bool group = strcmp (to, "g") == 0;
          g_string_append_printf (text,
                                  "%s{\"elem\": {\"val\": {\"concat\": [\"00:00:00:00:00:%02x\", "
                                  "\"%s:00:00:00:00:%02x\"]}, \"counter\": {\"packets\": %u}}}",
                                  comma, source, group ? "01" : "00",
                                  group ? 1 : (guint)strtoul (to, NULL, 16), frames);
          comma = ",";
        }
      g_string_append (text, "]}}");
    }
  g_string_append (text, "]}");
  guint64 id = NETNS;
  g_hash_table_insert (texts, g_memdup2 (&id, sizeof id), g_strdup (text->str));
  GHashTable *sets = cs_account_parse (texts);
  g_hash_table_unref (texts);
  return sets;
}

/* "01 12": who is bound to whom, both ways, from source @source. */
static char *
pairs (GPtrArray *members, CsDependencySource source)
{
  GString *text = g_string_new (NULL);
  for (guint i = 0; i < members->len; i++)
    for (guint j = 0; j < members->len; j++)
      {
        guint64 interval;
        guint sources = 0;
        bool bound = cs_line_depends_since (member_at (members, j)->line,
                                            member_at (members, i)->name, &interval, &sources);
        if (bound && (sources & (1u << source)))
          g_string_append_printf (text, "%s%u%u", text->len > 0 ? " " : "", i, j);
      }
  return g_string_free (text, FALSE);
}

static void
account (GPtrArray *members, const char *flows)
{
  g_autoptr (GHashTable) sets = sets_new (members->len, flows);
  cs_account (members, sets, NULL, true);
}

#define assert_pairs(members, source, expected)                                                    \
  do                                                                                               \
    {                                                                                              \
      g_autofree char *found = pairs (members, source);                                            \
      ck_assert_str_eq (found, expected);                                                          \
    }                                                                                              \
  while (0)

START_TEST (binds_both)
{
  g_autoptr (GPtrArray) members = members_new (3);
  account (members, "0 0 1 5");
  assert_pairs (members, CS_DEPENDENCY_FLOWS, "01 10");
  assert_pairs (members, CS_DEPENDENCY_UNCOUNTED, "");
}
END_TEST

/* What a frame says of its sender is not believed: VM 2 writes VM 0's address into it. */
START_TEST (forged_source)
{
  g_autoptr (GPtrArray) members = members_new (4);
  account (members, "2 0 1 5");
  assert_pairs (members, CS_DEPENDENCY_FLOWS, "12 21");
  /* Frames to the forged address may have been for the forger, too. */
  account (members, "2 0 1 5;3 3 0 1");
  assert_pairs (members, CS_DEPENDENCY_FLOWS, "03 12 21 23 30 32");
}
END_TEST

/* An address of the guest's own choice, seen at its tap; one that nobody has. */
START_TEST (learned)
{
  g_autoptr (GPtrArray) members = members_new (3);
  account (members, "1 aa bb 1;0 0 aa 1;2 2 cc 9");
  assert_pairs (members, CS_DEPENDENCY_FLOWS, "01 10");
}
END_TEST

START_TEST (group)
{
  g_autoptr (GPtrArray) members = members_new (3);
  account (members, "1 1 g 1");
  assert_pairs (members, CS_DEPENDENCY_FLOWS, "01 10 12 21");
}
END_TEST

/* Counts only grow: each frame is accounted for once, and one of a set that was emptied too. */
START_TEST (deltas)
{
  g_autoptr (GPtrArray) members = members_new (2);
  account (members, "0 0 1 5");
  for (guint i = 0; i < 2; i++)
    {
      cs_line_reserve (member_at (members, i)->line);
      cs_line_advance (member_at (members, i)->line);
    }
  account (members, "0 0 1 5");
  assert_pairs (members, CS_DEPENDENCY_FLOWS, "");
  g_autoptr (GHashTable) more = sets_new (2, "0 0 1 7;1 1 0 4");
  g_autoptr (GHashTable) frames = cs_account_frames_new ();
  cs_account (members, more, frames, false);
  ck_assert_uint_eq (cs_account_frames (frames, 0, 1), 2);
  ck_assert_uint_eq (cs_account_frames (frames, 1, 0), 4);
  ck_assert_uint_eq (cs_account_frames (frames, 1, 1), 0);
  account (members, "0 0 1 1");
  assert_pairs (members, CS_DEPENDENCY_FLOWS, "01 10");
}
END_TEST

START_TEST (not_counted)
{
  g_autoptr (GPtrArray) members = members_new (3);
  member_at (members, 1)->missed = true;
  account (members, "");
  assert_pairs (members, CS_DEPENDENCY_UNCOUNTED, "01 10 12 21");
  ck_assert (!member_at (members, 1)->missed);

  /* Sets that are gone, full, or of another table; one without an end. */
  g_autoptr (GPtrArray) gone = members_new (3);
  g_autoptr (GHashTable) none = g_hash_table_new (g_int64_hash, g_int64_equal);
  cs_account (gone, none, NULL, true);
  assert_pairs (gone, CS_DEPENDENCY_UNCOUNTED, "01 02 10 12 20 21");
  g_autoptr (GPtrArray) full = members_new (2);
  account (full, "0 0 a 1;0 0 b 1;0 0 c 1;0 0 d 1");
  assert_pairs (full, CS_DEPENDENCY_UNCOUNTED, "01 10");
  g_autoptr (GPtrArray) other = members_new (2);
  ((CsWatch *)g_ptr_array_index (member_at (other, 1)->watches, 0))->handle = 7;
  account (other, "");
  assert_pairs (other, CS_DEPENDENCY_UNCOUNTED, "01 10");

  /* What does not run sends nothing. */
  g_autoptr (GPtrArray) dead = members_new (2);
  member_at (dead, 1)->pid = 0;
  member_at (dead, 1)->countable = false;
  account (dead, "");
  assert_pairs (dead, CS_DEPENDENCY_UNCOUNTED, "");
}
END_TEST

/* ---- the lines of a cluster ---- */

static char *directory;

static void
setup (void)
{
  directory = g_dir_make_tmp ("clusnap-lines-XXXXXX", NULL);
}

static void
teardown (void)
{
  g_autofree char *inner = g_build_filename (directory, "dependencies", NULL);
  g_autofree char *file = g_build_filename (inner, "demo.json", NULL);
  g_unlink (file);
  g_rmdir (inner);
  g_rmdir (directory);
  g_free (directory);
}

static CsClusterLines *
lines_open (void)
{
  g_autoptr (GError) error = NULL;
  CsClusterLines *lines = cs_cluster_lines_open (directory, NULL, "demo", &error);
  unit_assert_no_error (error);
  return lines;
}

static GPtrArray *
names (const char *text)
{
  GPtrArray *array = g_ptr_array_new_with_free_func (g_free);
  g_auto (GStrv) words = g_strsplit (text, " ", -1);
  for (char **word = words; *word != NULL && **word != '\0'; word++)
    g_ptr_array_add (array, g_strdup (*word));
  return array;
}

/* Without a tap: counted, and never sends anything. */
static void
look (CsClusterLines *lines, const char *vm)
{
  g_autoptr (GError) error = NULL;
  CsVmNetwork *network = g_new0 (CsVmNetwork, 1);
  network->pid = getpid ();
  network->start_time = cs_process_start_time (network->pid);
  network->countable = true;
  network->macs = g_array_new (FALSE, FALSE, sizeof (guint64));
  network->taps = g_ptr_array_new ();
  ck_assert (cs_cluster_lines_look (lines, vm, network, false, &error));
  unit_assert_no_error (error);
  cs_vm_network_free (network);
}

/* A whole snapshot of @vms; the manifest's member of the first. */
static json_object *
take (CsClusterLines *lines, const char *vms)
{
  g_autoptr (GPtrArray) all = names (vms);
  json_object *document = json_object_new_object ();
  cs_cluster_lines_set_vms (lines, all, false);
  for (guint i = 0; i < all->len; i++)
    look (lines, g_ptr_array_index (all, i));
  ck_assert (cs_cluster_lines_reserve (lines, all, NULL));
  g_autoptr (CsCut) cut = cs_cluster_lines_cut (lines, all);
  ck_assert (cs_cluster_lines_settle (lines, NULL));
  cs_json_add_string (document, "name", g_ptr_array_index (all, 0));
  cs_cut_add_to (cut, g_ptr_array_index (all, 0), document);
  return document;
}

START_TEST (first_snapshot_binds_all)
{
  g_autoptr (CsClusterLines) lines = lines_open ();
  g_autoptr (GPtrArray) cluster = names ("a b c");
  cs_cluster_lines_set_vms (lines, cluster, true);
  g_autoptr (CsJson) s1 = take (lines, "a b");
  ck_assert_uint_eq (cs_json_uint (s1, "sequence", 0), 1);
  ck_assert_uint_eq (json_object_array_length (cs_json_array (s1, "dependencies")), 2);
  ck_assert_uint_eq (cs_cluster_lines_interval (lines, "a"), 1);
  ck_assert_uint_eq (cs_cluster_lines_interval (lines, "c"), 0);
  /* Counted from now on; c is not yet. */
  g_autoptr (CsJson) s2 = take (lines, "a b c");
  g_autoptr (CsJson) s3 = take (lines, "a b c");
  g_autoptr (CsJson) all = cs_cluster_lines_show (lines);
  json_object *a = cs_json_find_named (all, "a");
  ck_assert (json_object_get_boolean (json_object_object_get (a, "counted")));
  ck_assert_uint_eq (cs_json_uint (a, "sequence", 0), 3);
  json_object *one = json_object_array_get_idx (cs_json_array (a, "dependencies"), 0);
  ck_assert_uint_eq (cs_json_uint (one, "interval", 99), 0);
  ck_assert (!json_object_object_get_ex (one, "recent", NULL));
}
END_TEST

/* Failed before the cut: nothing has happened.  After it: an interval without a snapshot. */
START_TEST (failed_snapshot)
{
  g_autoptr (CsClusterLines) lines = lines_open ();
  g_autoptr (CsJson) s1 = take (lines, "a b");
  g_autoptr (GPtrArray) all = names ("a b");
  ck_assert (cs_cluster_lines_reserve (lines, all, NULL));
  ck_assert_uint_eq (cs_cluster_lines_interval (lines, "a"), 1);
  ck_assert_uint_eq (cs_cluster_lines_next_interval (lines, "a"), 2);
  ck_assert (cs_cluster_lines_merge (lines, "b", "a", 2, NULL));
  g_autoptr (CsJson) s2 = take (lines, "a b");
  ck_assert_uint_eq (cs_json_uint (s2, "sequence", 0), 3);
  g_autoptr (CsJson) show = cs_cluster_lines_show (lines);
  json_object *b = cs_json_find_named (show, "b");
  json_object *one = json_object_array_get_idx (cs_json_array (b, "dependencies"), 0);
  ck_assert_uint_eq (cs_json_uint (one, "interval", 99), 2);
}
END_TEST

START_TEST (agent_claims)
{
  g_autoptr (CsClusterLines) lines = lines_open ();
  g_autoptr (CsJson) s1 = take (lines, "a b");
  g_autoptr (GError) unknown = NULL, late = NULL;
  ck_assert (!cs_cluster_lines_merge (lines, "a", "x", 0, &unknown));
  unit_assert_error (unknown, CS_ERROR_INVALID);
  ck_assert (!cs_cluster_lines_merge (lines, "a", "b", 2, &late));
  unit_assert_error (late, CS_ERROR_INVALID);
  ck_assert (cs_cluster_lines_merge (lines, "a", "a", 1, NULL));
  ck_assert (cs_cluster_lines_merge (lines, "a", "b", 1, NULL));
  /* Directional. */
  g_autoptr (CsJson) show = cs_cluster_lines_show (lines);
  json_object *a = cs_json_array (cs_json_find_named (show, "a"), "dependencies");
  ck_assert_uint_eq (json_object_array_length (a), 1);
  ck_assert (json_object_object_get_ex (json_object_array_get_idx (a, 0), "recent", NULL));
  json_object *b = cs_json_array (cs_json_find_named (show, "b"), "dependencies");
  ck_assert (!json_object_object_get_ex (json_object_array_get_idx (b, 0), "recent", NULL));
}
END_TEST

/* Killed after the number was reserved: it is not used twice. */
START_TEST (daemon_killed)
{
  g_autoptr (CsClusterLines) before = lines_open ();
  g_autoptr (CsJson) s1 = take (before, "a b");
  g_autoptr (GPtrArray) all = names ("a b");
  ck_assert (cs_cluster_lines_reserve (before, all, NULL));
  g_autoptr (CsCut) cut = cs_cluster_lines_cut (before, all);
  g_autoptr (CsClusterLines) lines = lines_open ();
  ck_assert_uint_eq (cs_cluster_lines_interval (lines, "a"), 2);
  g_autoptr (CsJson) s3 = take (lines, "a b");
  ck_assert_uint_eq (cs_json_uint (s3, "sequence", 0), 3);
  g_autoptr (CsLine) first = cs_line_from_manifest (s1, NULL);
  g_autoptr (CsLine) third = cs_line_from_manifest (s3, NULL);
  ck_assert (cs_line_has (third, first));
}
END_TEST

START_TEST (goes_back)
{
  g_autoptr (CsClusterLines) lines = lines_open ();
  g_autoptr (CsJson) s1 = take (lines, "a b");
  g_autoptr (CsJson) s2 = take (lines, "a b");
  ck_assert (cs_cluster_lines_merge (lines, "a", "b", 2, NULL));
  g_autoptr (GPtrArray) documents = g_ptr_array_new ();
  g_ptr_array_add (documents, s1);
  cs_cut_unref (cs_cluster_lines_go_back (lines, documents));
  ck_assert (cs_cluster_lines_settle (lines, NULL));
  ck_assert_uint_eq (cs_cluster_lines_interval (lines, "a"), 3);
  ck_assert_uint_eq (cs_cluster_lines_interval (lines, "b"), 2);
  g_autoptr (CsJson) s4 = take (lines, "a");
  g_autoptr (CsLine) first = cs_line_from_manifest (s1, NULL);
  g_autoptr (CsLine) second = cs_line_from_manifest (s2, NULL);
  g_autoptr (CsLine) fourth = cs_line_from_manifest (s4, NULL);
  ck_assert (cs_line_has (fourth, first) && !cs_line_has (fourth, second));
  guint64 interval = 99;
  ck_assert (cs_line_depends_on (fourth, "b", &interval) && interval == 0);

  /* A snapshot of an older clusnap: all on all. */
  g_autoptr (CsJson) old = json_tokener_parse ("{\"name\": \"a\"}");
  g_ptr_array_index (documents, 0) = old;
  cs_cut_unref (cs_cluster_lines_go_back (lines, documents));
  ck_assert (cs_cluster_lines_settle (lines, NULL));
  g_autoptr (CsJson) show = cs_cluster_lines_show (lines);
  json_object *one =
      json_object_array_get_idx (cs_json_array (cs_json_find_named (show, "a"), "dependencies"), 0);
  ck_assert_uint_eq (cs_json_uint (one, "interval", 99), 2);
}
END_TEST

START_TEST (members_leave)
{
  g_autoptr (CsClusterLines) lines = lines_open ();
  g_autoptr (CsJson) s1 = take (lines, "a b c");
  g_autoptr (GPtrArray) two = names ("a b");
  cs_cluster_lines_set_vms (lines, two, false);
  ck_assert_uint_eq (cs_cluster_lines_interval (lines, "c"), 1);
  cs_cluster_lines_set_vms (lines, two, true);
  ck_assert_uint_eq (cs_cluster_lines_interval (lines, "c"), 0);
  /* Its numbers are gone. */
  g_autoptr (GPtrArray) three = names ("a b c");
  cs_cluster_lines_set_vms (lines, three, true);
  ck_assert_uint_eq (cs_cluster_lines_interval (lines, "c"), 1);
  cs_cluster_lines_set_vms (lines, two, true);
  ck_assert (cs_cluster_lines_knows (lines, "a") && !cs_cluster_lines_knows (lines, "c"));
  ck_assert (cs_cluster_lines_forget (lines, NULL));
  ck_assert (cs_cluster_lines_forget (lines, NULL));
}
END_TEST

START_TEST (damaged_file)
{
  g_autofree char *path = g_build_filename (directory, "dependencies", "demo.json", NULL);
  {
    g_autoptr (CsClusterLines) lines = lines_open ();
    g_autoptr (CsJson) s1 = take (lines, "a b");
  }
  ck_assert (g_file_set_contents (path,
                                  "{\"format\": \"clusnap-lines\", \"version\": 1, \"vms\": "
                                  "[{\"name\": \"a\", \"sequence\": 1}]}",
                                  -1, NULL));
  g_autoptr (CsClusterLines) lines = lines_open ();
  g_autoptr (CsJson) s1 = take (lines, "a b");
  ck_assert_uint_eq (json_object_array_length (cs_json_array (s1, "dependencies")), 1);
  g_autoptr (GError) error = NULL;
  ck_assert_ptr_null (cs_cluster_lines_open (directory, NULL, "../demo", &error));
  unit_assert_error (error, CS_ERROR_INVALID);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("cluster-lines");
  TCase *counts = tcase_create ("accounting"), *cluster = tcase_create ("cluster");
  tcase_add_test (counts, binds_both);
  tcase_add_test (counts, forged_source);
  tcase_add_test (counts, learned);
  tcase_add_test (counts, group);
  tcase_add_test (counts, deltas);
  tcase_add_test (counts, not_counted);
  tcase_add_checked_fixture (cluster, setup, teardown);
  tcase_add_test (cluster, first_snapshot_binds_all);
  tcase_add_test (cluster, failed_snapshot);
  tcase_add_test (cluster, agent_claims);
  tcase_add_test (cluster, daemon_killed);
  tcase_add_test (cluster, goes_back);
  tcase_add_test (cluster, members_leave);
  tcase_add_test (cluster, damaged_file);
  suite_add_tcase (suite, counts);
  suite_add_tcase (suite, cluster);
  return unit_run (suite);
}
