/* Manifests and the VMs as they are, as a history; and what a recovery makes of it. */
#include "config.h"

#include "coord/recover-plan.h"
#include "tests/unit/unit.h"

#include <string.h>

static const char *const names[] = { "a", "b", "c" };

static CsClusterHistory *
history_of (const char *manifests, const char *live)
{
  g_autoptr (CsJson) stored = json_tokener_parse (manifests);
  g_autoptr (CsJson) now = json_tokener_parse (live);
  ck_assert_ptr_nonnull (stored);
  ck_assert_ptr_nonnull (now);
  return cs_cluster_history_new (names, G_N_ELEMENTS (names), stored, now);
}

#define LINE "\"line\":[{\"branch\":\"x\"}]"
#define SEEN(vm, interval) "{\"vm\":\"" vm "\",\"interval\":" #interval ",\"sources\":[\"flows\"]}"
#define VM(name, sequence, line, seen)                                                             \
  "{\"name\":\"" name "\",\"running\":true,\"sequence\":" #sequence "," line                       \
  ",\"dependencies\":[" seen "]}"
#define MANIFEST(name, created, vms)                                                               \
  "{\"snapshot\":\"" name "\",\"created\":\"" created "\",\"vms\":[" vms "]}"

/* The row of @plan for @vm as "action snapshot". */
static void
assert_row (const CsRecoverPlan *plan, guint vm, const char *expected, const char *reason)
{
  g_autoptr (CsJson) rows = cs_recover_plan_rows (plan, 0);
  json_object *row = json_object_array_get_idx (rows, vm);
  const char *snapshot = cs_json_string (row, "snapshot");
  g_autofree char *text =
      g_strconcat (cs_json_string (row, "action"), snapshot ? " " : "", snapshot, NULL);
  ck_assert_str_eq (text, expected);
  ck_assert_msg (strstr (cs_json_string (row, "reason"), reason) != NULL, "%s",
                 cs_json_string (row, "reason"));
}

#define TWO_GROUPS                                                                                 \
  "[" MANIFEST ("s1.1", "2026-11-21T10:00:00.5Z",                                                  \
                VM ("a", 1, LINE, "") "," VM ("b", 1, LINE,                                        \
                                              "")) "," MANIFEST ("s1.2", "2026-11-21T10:00:01Z",   \
                                                                 VM ("c", 1, LINE, "")) "]"

START_TEST (test_groups)
{
  g_autoptr (CsClusterHistory) history =
      history_of (TWO_GROUPS, "[{\"name\":\"a\",\"running\":false,\"sequence\":1," LINE
                              ",\"dependencies\":[" SEEN ("b", 1) "]}," VM (
                                  "b", 1, LINE, SEEN ("a", 1)) "," VM ("c", 1, LINE, "") "]");
  ck_assert_uint_eq (cs_cluster_history_notes (history)->len, 0);
  ck_assert_uint_eq (cs_cluster_history_latest (history, 0), 1);
  g_autofree bool *exchanged = cs_cluster_history_exchanged (history);
  for (guint i = 0; i < 9; i++)
    ck_assert_int_eq (exchanged[i], i == 0 * 3 + 1 || i == 1 * 3 + 0);
  g_autoptr (CsRecoverPlan) plan = cs_recover_plan_new (history, (guint[]){ 0 }, 1);
  assert_row (plan, 0, "start s1.1", "it does not run");
  assert_row (plan, 1, "roll back s1.1", "depends on interval 1 of 'a' (flows), which is undone");
  assert_row (plan, 2, "keep", "nothing that it depends on");
  ck_assert_uint_eq (cs_recover_plan_count (plan, CS_RECOVER_KEEP), 1);
  g_autoptr (CsJson) vms = cs_recover_plan_vms (plan);
  ck_assert_str_eq (
      json_object_to_json_string_ext (vms, JSON_C_TO_STRING_PLAIN),
      "[{\"name\":\"a\",\"snapshot\":\"s1.1\"},{\"name\":\"b\",\"snapshot\":\"s1.1\"}]");
  g_autoptr (CsJson) rows =
      cs_recover_plan_rows (plan, G_GINT64_CONSTANT (1795255202000000)); /* 10:00:02 */
  ck_assert_uint_eq (cs_json_uint (json_object_array_get_idx (rows, 0), "lost", 0), 1500000);
  g_autoptr (CsRecoverPlan) other = cs_recover_plan_new (history, (guint[]){ 2 }, 1);
  assert_row (other, 2, "roll back s1.2", "said to have failed");
  assert_row (other, 0, "keep", "does not run, is not said");
  ck_assert (!cs_recover_plan_equal (plan, other));
  ck_assert (cs_recover_plan_equal (plan, plan));
}
END_TEST

/* Snapshot s2 of a was abandoned: a went back to s1.  What lies on the old branch is not its past.
 */
START_TEST (test_branches)
{
  static const char went_back[] = "\"line\":[{\"branch\":\"x\",\"until\":1},{\"branch\":\"y\"}]";
  g_autofree char *manifests = g_strdup_printf (
      "[" MANIFEST ("s1", "1", VM ("a", 1, LINE, "")) "," MANIFEST (
          "s2", "2",
          VM ("a", 2, LINE,
              "")) "," MANIFEST ("s3", "3",
                                 "{\"name\":\"a\",\"sequence\":4,%s,\"dependencies\":["
                                 "]}") "," MANIFEST ("other", "4",
                                                     "{\"name\":\"a\",\"sequence\":5,"
                                                     "\"line\":[{\"branch\":\"x\","
                                                     "\"until\":2},{\"branch\":\"y\"}]"
                                                     ",\"dependencies\":[]}") "]",
      went_back);
  g_autofree char *live = g_strdup_printf (
      "[{\"name\":\"a\",\"running\":true,\"sequence\":6,%s,\"dependencies\":[]}]", went_back);
  g_autoptr (CsClusterHistory) history = history_of (manifests, live);
  ck_assert_uint_eq (cs_cluster_history_vm (history, 0)->n_snapshots, 2);
  ck_assert_str_eq (cs_cluster_history_snapshot (history, 0, 1, NULL), "s1");
  ck_assert_str_eq (cs_cluster_history_snapshot (history, 0, 4, NULL), "s3");
  ck_assert_ptr_null (cs_cluster_history_snapshot (history, 0, 2, NULL));
  /* Of b and c nothing is known at all. */
  ck_assert_uint_eq (cs_cluster_history_notes (history)->len, 2);
  g_autoptr (CsRecoverPlan) plan = cs_recover_plan_new (history, (guint[]){ 1 }, 1);
  assert_row (plan, 1, "lost", "clusnapd does not know its history");
}
END_TEST

/* Two intervals became one when the snapshot between them was deleted. */
START_TEST (test_deleted_snapshot)
{
  static const char live[] = "[" VM ("a", 3, LINE, SEEN ("b", 2)) "," VM ("b", 3, LINE, "") "]";
  g_autoptr (CsClusterHistory) all = history_of (
      "[" MANIFEST ("s1", "1", VM ("a", 1, LINE, "") "," VM ("b", 1, LINE, "")) "," MANIFEST (
          "s2", "2",
          VM ("a", 2, LINE, "") "," VM ("b", 2, LINE,
                                        "")) "," MANIFEST ("s3", "3",
                                                           VM ("a", 3, LINE, SEEN ("b", 2)) "," VM (
                                                               "b", 3, LINE, "")) "]",
      live);
  g_autoptr (CsRecoverPlan) plan = cs_recover_plan_new (all, (guint[]){ 1 }, 1);
  assert_row (plan, 0, "keep", "");
  g_autoptr (CsClusterHistory) some = history_of (
      "[" MANIFEST ("s1", "1", VM ("a", 1, LINE, "") "," VM ("b", 1, LINE, "")) "," MANIFEST (
          "s3", "3", VM ("a", 3, LINE, SEEN ("b", 2))) "]",
      live);
  g_autoptr (CsRecoverPlan) further = cs_recover_plan_new (some, (guint[]){ 1 }, 1);
  assert_row (further, 1, "roll back s1", "said to have failed");
  assert_row (further, 0, "roll back s1", "interval 2 of 'b'");
}
END_TEST

START_TEST (test_nonsense_is_left_out)
{
  g_autoptr (CsClusterHistory) history = history_of (
      "[null,{},{\"snapshot\":\"x\"},{\"snapshot\":\"x\",\"vms\":[null,7,{},{\"name\":\"zzz\"}]},"
      "{\"snapshot\":\"old\",\"vms\":[{\"name\":\"a\"}]},"
      "{\"snapshot\":\"zero\",\"vms\":[{\"name\":\"a\",\"sequence\":0," LINE "}]},"
      "{\"snapshot\":\"huge\",\"vms\":[{\"name\":\"a\",\"sequence\":18446744073709551615," LINE
      "}]},"
      "{\"snapshot\":\"text\",\"vms\":[{\"name\":\"a\",\"sequence\":1,\"line\":[7,{}]}]}"
      "," MANIFEST ("s1", "1",
                    VM ("a", 1, LINE,
                        "7,null,{},{\"vm\":\"zzz\",\"interval\":1},"
                        "{\"vm\":\"b\",\"interval\":-1}," SEEN (
                            "a", 5))) "," MANIFEST ("twin", "2", VM ("a", 1, LINE, "")) "]",
      "[7,null," VM ("a", 1, LINE, "{\"vm\":\"b\"}") "," VM (
          "b", 0, LINE, "") ","
                            "{\"name\":\"c\",\"running\":\"yes\",\"line\":[]}]");
  ck_assert_uint_eq (cs_cluster_history_vm (history, 0)->n_snapshots, 1);
  ck_assert_str_eq (cs_cluster_history_snapshot (history, 0, 1, NULL), "twin");
  /* old, zero, huge, and the twins. */
  ck_assert_uint_eq (cs_cluster_history_notes (history)->len, 4);
  g_autoptr (CsRecoverPlan) plan = cs_recover_plan_new (history, (guint[]){ 0 }, 1);
  assert_row (plan, 0, "roll back twin", "");
  assert_row (plan, 1, "keep", "");
}
END_TEST

/* Without a vector a VM depends on all others. */
START_TEST (test_old_manifest)
{
  g_autoptr (CsClusterHistory) history =
      history_of ("[" MANIFEST ("s1", "1", VM ("a", 1, LINE, "") "," VM ("b", 1, LINE, "")) "]",
                  "[" VM ("a", 1, LINE, "") ",{\"name\":\"b\",\"running\":true,\"sequence\":1," LINE
                                            "}," VM ("c", 0, LINE, "") "]");
  g_autoptr (CsRecoverPlan) plan = cs_recover_plan_new (history, (guint[]){ 0 }, 1);
  assert_row (plan, 1, "roll back s1", "(not known)");
  assert_row (plan, 2, "keep", "");
}
END_TEST

/* ---- against what really happened ----
 *
 * A simulated cluster whose VMs remember every message.  After each recovery nobody has got what
 * was not sent, or, where messages bind both ends, has sent what was not got; and no line that
 * takes fewer VMs less far back is consistent as well.
 *
 * Branches: all VMs go back to any snapshot of all, also one that lies on a line that was left
 * (rollback), or one of them does without the others (rollback --only): what contradicts then is
 * excused, and no more.  clusnapd forgets the lines (its state is lost, the cluster is defined
 * anew): numbers come again then.  The recovery lines must stay consistent; they may go further
 * back than they would have to, which without these two they must not. */

enum
{
  N = 3,
};

typedef struct
{
  char *name;
  guint64 sequence;
  json_object *document;
  GArray *state;
  GPtrArray *before; /* of Taken, borrowed: on its line, itself included */
  bool deleted;
} Taken;

typedef struct
{
  guint64 sequence, highest;
  json_object *line;
  guint64 seen[N]; /* plus one */
  GArray *state;   /* of int: messages sent (positive) and got (negative) */
  GPtrArray *past; /* of Taken, borrowed: on the present line, those deleted left out */
  GPtrArray *all;  /* of Taken */
} Sim;

typedef struct
{
  Sim vms[N];
  int messages;
  guint names;
  bool binds; /* both ends */
  bool exact; /* no line goes further back than it must */
  json_object *manifests;
  GHashTable *excused; /* messages that contradict for good */
} Cluster;

static GArray *
copy_state (const GArray *state)
{
  GArray *copy = g_array_new (FALSE, FALSE, sizeof (int));
  return g_array_append_vals (copy, state->data, state->len);
}

static void
taken_free (gpointer data)
{
  Taken *taken = data;
  g_free (taken->name);
  json_object_put (taken->document);
  g_array_unref (taken->state);
  g_ptr_array_unref (taken->before);
  g_free (taken);
}

static GPtrArray *
copy_past (const GPtrArray *past)
{
  GPtrArray *copy = g_ptr_array_new ();
  for (guint i = 0; i < past->len; i++)
    if (!((Taken *)g_ptr_array_index (past, i))->deleted)
      g_ptr_array_add (copy, g_ptr_array_index (past, i));
  return copy;
}

static json_object *
branch_new (guint *names_used)
{
  json_object *branch = json_object_new_object ();
  g_autofree char *name = g_strdup_printf ("branch-%u", (*names_used)++);
  cs_json_add_string (branch, "branch", name);
  return branch;
}

static json_object *
copy_of (json_object *object)
{
  json_object *copy = NULL;
  json_object_deep_copy (object, &copy, NULL);
  return copy;
}

static json_object *
document_of (const Cluster *cluster, guint vm)
{
  const Sim *sim = &cluster->vms[vm];
  json_object *document = json_object_new_object (), *seen = json_object_new_array ();
  cs_json_add_string (document, "name", names[vm]);
  cs_json_add_uint (document, "sequence", sim->sequence);
  json_object_object_add (document, "running", json_object_new_boolean (true));
  json_object_object_add (document, "line", copy_of (sim->line));
  for (guint i = 0; i < N; i++)
    if (sim->seen[i] > 0)
      {
        json_object *entry = json_object_new_object ();
        cs_json_add_string (entry, "vm", names[i]);
        cs_json_add_uint (entry, "interval", sim->seen[i] - 1);
        json_object_array_add (seen, entry);
      }
  json_object_object_add (document, "dependencies", seen);
  return document;
}

static void
see (Cluster *cluster, guint vm, guint other)
{
  guint64 *seen = &cluster->vms[vm].seen[other];
  *seen = MAX (*seen, cluster->vms[other].sequence + 1);
}

static void
send_message (Cluster *cluster, guint from, guint to)
{
  int sent = ++cluster->messages, got = -sent;
  g_array_append_val (cluster->vms[from].state, sent);
  g_array_append_val (cluster->vms[to].state, got);
  see (cluster, to, from);
  if (cluster->binds)
    see (cluster, from, to);
}

static void
snapshot (Cluster *cluster, guint mask)
{
  json_object *manifest = json_object_new_object (), *vms = json_object_new_array ();
  g_autofree char *name = g_strdup_printf ("s%u", cluster->names++);
  cs_json_add_string (manifest, "snapshot", name);
  json_object_object_add (manifest, "vms", vms);
  for (guint i = 0; i < N; i++)
    {
      Sim *sim = &cluster->vms[i];
      if ((mask & (1u << i)) == 0)
        continue;
      sim->sequence = ++sim->highest;
      Taken *taken = g_new0 (Taken, 1);
      taken->name = g_strdup (name);
      taken->sequence = sim->sequence;
      taken->document = document_of (cluster, i);
      taken->state = copy_state (sim->state);
      g_ptr_array_add (sim->past, taken);
      g_ptr_array_add (sim->all, taken);
      taken->before = copy_past (sim->past);
      json_object_array_add (vms, json_object_get (taken->document));
    }
  json_object_array_add (cluster->manifests, manifest);
}

static void
delete_snapshot (Cluster *cluster)
{
  gsize n = json_object_array_length (cluster->manifests);
  if (n == 0)
    return;
  gsize at = (gsize)g_random_int_range (0, (gint)n);
  const char *name =
      cs_json_string (json_object_array_get_idx (cluster->manifests, at), "snapshot");
  for (guint i = 0; i < N; i++)
    {
      Sim *sim = &cluster->vms[i];
      for (guint k = 0; k < sim->all->len; k++)
        if (strcmp (((Taken *)g_ptr_array_index (sim->all, k))->name, name) == 0)
          ((Taken *)g_ptr_array_index (sim->all, k))->deleted = true;
      GPtrArray *left = copy_past (sim->past);
      g_ptr_array_unref (sim->past);
      sim->past = left;
    }
  json_object_array_del_idx (cluster->manifests, at, 1);
}

static bool
has_message (const GArray *state, int message)
{
  for (guint i = 0; i < state->len; i++)
    if (g_array_index (state, int, i) == message)
      return true;
  return false;
}

static bool
is_consistent (const Cluster *cluster, const GArray *const *states)
{
  for (guint i = 0; i < N; i++)
    for (guint k = 0; k < states[i]->len; k++)
      {
        int message = g_array_index (states[i], int, k);
        bool matched = (message > 0 && !cluster->binds)
                       || g_hash_table_contains (cluster->excused, GINT_TO_POINTER (ABS (message)));
        for (guint j = 0; j < N && !matched; j++)
          matched = has_message (states[j], -message);
        if (!matched)
          return false;
      }
  return true;
}

/* The latest consistent line that really is one: per VM the number of its snapshots that are kept,
 * or one more when it stays. */
static bool
best_line (const Cluster *cluster, guint failed, guint *best)
{
  guint count[N], at[N] = { 0 };
  bool found = false;
  for (guint i = 0; i < N; i++)
    {
      count[i] = cluster->vms[i].past->len + (i != failed);
      best[i] = 0;
    }
  for (at[0] = 1; at[0] <= count[0]; at[0]++)
    for (at[1] = 1; at[1] <= count[1]; at[1]++)
      for (at[2] = 1; at[2] <= count[2]; at[2]++)
        {
          const GArray *states[N];
          for (guint i = 0; i < N; i++)
            states[i] = at[i] > cluster->vms[i].past->len
                            ? cluster->vms[i].state
                            : ((Taken *)g_ptr_array_index (cluster->vms[i].past, at[i] - 1))->state;
          if (!is_consistent (cluster, states))
            continue;
          found = true;
          for (guint i = 0; i < N; i++)
            best[i] = MAX (best[i], at[i]);
        }
  return found;
}

static void
go_back (Cluster *cluster, guint vm, const Taken *taken)
{
  Sim *sim = &cluster->vms[vm];
  g_ptr_array_unref (sim->past);
  sim->past = copy_past (taken->before);
  json_object_put (sim->line);
  sim->line = copy_of (cs_json_array (taken->document, "line"));
  json_object *last =
      json_object_array_get_idx (sim->line, json_object_array_length (sim->line) - 1);
  cs_json_add_uint (last, "until", taken->sequence);
  json_object_array_add (sim->line, branch_new (&cluster->names));
  g_array_unref (sim->state);
  sim->state = copy_state (taken->state);
  memset (sim->seen, 0, sizeof sim->seen);
  json_object *seen = cs_json_array (taken->document, "dependencies");
  for (gsize i = 0; i < json_object_array_length (seen); i++)
    {
      json_object *entry = json_object_array_get_idx (seen, i);
      for (guint k = 0; k < N; k++)
        if (strcmp (names[k], cs_json_string (entry, "vm")) == 0)
          sim->seen[k] = cs_json_uint (entry, "interval", 0) + 1;
    }
  sim->highest = MAX (sim->highest, taken->sequence);
  sim->sequence = ++sim->highest;
}

/* What the VMs contradict each other in now they do for good. */
static void
excuse (Cluster *cluster)
{
  for (guint i = 0; i < N; i++)
    for (guint k = 0; k < cluster->vms[i].state->len; k++)
      {
        int message = g_array_index (cluster->vms[i].state, int, k);
        bool matched = message > 0 && !cluster->binds;
        for (guint j = 0; j < N && !matched; j++)
          matched = has_message (cluster->vms[j].state, -message);
        if (!matched)
          g_hash_table_add (cluster->excused, GINT_TO_POINTER (ABS (message)));
      }
}

/* A snapshot of VM @vm, on whatever line, or NULL. */
static const Taken *
any_taken (const Cluster *cluster, guint vm)
{
  g_autoptr (GPtrArray) there = copy_past (cluster->vms[vm].all);
  return there->len > 0 ? g_ptr_array_index (there, (guint)g_random_int_range (0, (gint)there->len))
                        : NULL;
}

static const Taken *
find_taken (const Cluster *cluster, guint vm, const char *name)
{
  for (guint i = 0; i < cluster->vms[vm].all->len; i++)
    if (strcmp (((Taken *)g_ptr_array_index (cluster->vms[vm].all, i))->name, name) == 0)
      return g_ptr_array_index (cluster->vms[vm].all, i);
  return NULL;
}

/* clusnap rollback: to a snapshot of all, also one that was left. */
static void
roll_back (Cluster *cluster)
{
  const Taken *first = any_taken (cluster, 0);
  for (guint i = 0; i < N; i++)
    if (first == NULL || find_taken (cluster, i, first->name) == NULL)
      return;
  g_autofree char *name = g_strdup (first->name);
  for (guint i = 0; i < N; i++)
    go_back (cluster, i, find_taken (cluster, i, name));
  excuse (cluster);
}

/* clusnap rollback --only */
static void
roll_back_only (Cluster *cluster, guint vm)
{
  const Taken *taken = any_taken (cluster, vm);
  if (taken == NULL)
    return;
  go_back (cluster, vm, taken);
  excuse (cluster);
  cluster->exact = false;
}

/* Numbers begin behind those of the snapshots that are left, and all are bound to all. */
static void
forget (Cluster *cluster)
{
  for (guint i = 0; i < N; i++)
    {
      Sim *sim = &cluster->vms[i];
      g_autoptr (GPtrArray) there = copy_past (sim->all);
      json_object_put (sim->line);
      sim->line = json_object_new_array ();
      json_object_array_add (sim->line, branch_new (&cluster->names));
      g_ptr_array_set_size (sim->past, 0);
      sim->highest = 0;
      for (guint k = 0; k < there->len; k++)
        sim->highest = MAX (sim->highest, ((Taken *)g_ptr_array_index (there, k))->sequence);
      sim->sequence = sim->highest;
      memset (sim->seen, 0, sizeof sim->seen);
    }
  for (guint i = 0; i < N; i++)
    for (guint j = 0; j < N; j++)
      if (i != j)
        see (cluster, i, j);
  cluster->exact = false;
}

/* The states that the VMs would have on the line of @rows. */
static bool
line_is_consistent (const Cluster *cluster, json_object *rows)
{
  const GArray *states[N];
  for (guint i = 0; i < N; i++)
    {
      const char *name = cs_json_string (json_object_array_get_idx (rows, i), "snapshot");
      states[i] = name != NULL ? find_taken (cluster, i, name)->state : cluster->vms[i].state;
    }
  return is_consistent (cluster, states);
}

static void
recover (Cluster *cluster, guint failed)
{
  g_autoptr (CsJson) live = json_object_new_array ();
  for (guint i = 0; i < N; i++)
    json_object_array_add (live, document_of (cluster, i));
  g_autoptr (CsClusterHistory) history =
      cs_cluster_history_new (names, N, cluster->manifests, live);
  g_autoptr (CsRecoverPlan) plan = cs_recover_plan_new (history, &failed, 1);
  g_autoptr (CsJson) rows = cs_recover_plan_rows (plan, 0);
  guint best[N];
  if (cs_recover_plan_count (plan, CS_RECOVER_LOST) == 0)
    ck_assert (line_is_consistent (cluster, rows));
  bool can = best_line (cluster, failed, best);
  for (guint i = 0; i < N && cluster->exact && can; i++)
    {
      const char *name = cs_json_string (json_object_array_get_idx (rows, i), "snapshot");
      GPtrArray *past = cluster->vms[i].past;
      ck_assert_int_eq (name == NULL, best[i] > past->len);
      if (name != NULL)
        ck_assert_str_eq (name, ((Taken *)g_ptr_array_index (past, best[i] - 1))->name);
    }
  if (cluster->exact)
    ck_assert_int_eq (can, cs_recover_plan_count (plan, CS_RECOVER_LOST) == 0);
  if (cs_recover_plan_count (plan, CS_RECOVER_LOST) > 0)
    return;
  for (guint i = 0; i < N; i++)
    {
      const char *name = cs_json_string (json_object_array_get_idx (rows, i), "snapshot");
      if (name != NULL)
        go_back (cluster, i, find_taken (cluster, i, name));
    }
}

static void
cluster_begin (Cluster *cluster)
{
  cluster->exact = true;
  cluster->manifests = json_object_new_array ();
  cluster->excused = g_hash_table_new (NULL, NULL);
  for (guint i = 0; i < N; i++)
    {
      Sim *sim = &cluster->vms[i];
      sim->line = json_object_new_array ();
      json_object_array_add (sim->line, branch_new (&cluster->names));
      sim->state = g_array_new (FALSE, FALSE, sizeof (int));
      sim->past = g_ptr_array_new ();
      sim->all = g_ptr_array_new_with_free_func (taken_free);
    }
  snapshot (cluster, 7);
}

static void
cluster_end (Cluster *cluster)
{
  for (guint i = 0; i < N; i++)
    {
      json_object_put (cluster->vms[i].line);
      g_array_unref (cluster->vms[i].state);
      g_ptr_array_unref (cluster->vms[i].past);
      g_ptr_array_unref (cluster->vms[i].all);
    }
  json_object_put (cluster->manifests);
  g_hash_table_unref (cluster->excused);
}

/* What happens next; more than RECOVER only where lines are left. */
enum
{
  SEND = 9,
  SNAPSHOT = 16,
  DELETE = 17,
  RECOVER = 20,
  ROLL_BACK = 22,
  ROLL_BACK_ONLY = 23,
  FORGET = 24,
};

static void
live (Cluster *cluster, int events)
{
  cluster_begin (cluster);
  for (guint step = 0; step < 60; step++)
    {
      int what = g_random_int_range (0, events);
      guint one = (guint)g_random_int_range (0, N);
      if (what < SEND)
        send_message (cluster, one, (one + 1 + (guint)g_random_int_range (0, N - 1)) % N);
      else if (what < SNAPSHOT)
        snapshot (cluster, (guint)g_random_int_range (1, 8));
      else if (what < DELETE)
        delete_snapshot (cluster);
      else if (what < RECOVER)
        recover (cluster, one);
      else if (what < ROLL_BACK)
        roll_back (cluster);
      else if (what < ROLL_BACK_ONLY)
        roll_back_only (cluster, one);
      else
        forget (cluster);
    }
  cluster_end (cluster);
}

START_TEST (test_against_truth)
{
  static const int events[] = { RECOVER, ROLL_BACK, ROLL_BACK_ONLY, FORGET + 1 };
  for (guint round = 0; round < 160; round++)
    {
      Cluster cluster = { .binds = round % 2 == 0 };
      live (&cluster, events[round / 2 % G_N_ELEMENTS (events)]);
    }
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("history");
  TCase *examples = tcase_create ("examples");
  tcase_add_test (examples, test_groups);
  tcase_add_test (examples, test_branches);
  tcase_add_test (examples, test_deleted_snapshot);
  tcase_add_test (examples, test_nonsense_is_left_out);
  tcase_add_test (examples, test_old_manifest);
  suite_add_tcase (suite, examples);
  TCase *properties = tcase_create ("properties");
  tcase_set_timeout (properties, 60);
  tcase_add_test (properties, test_against_truth);
  suite_add_tcase (suite, properties);
  return unit_run (suite);
}
