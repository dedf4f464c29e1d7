/* Which VMs are bound by the frames that were counted.
 *
 * The sender of a frame is the VM whose tap counted it; its receivers are all VMs that the
 * destination may belong to: those with a network device of that address, and those whose tap has
 * sent frames from it (a bridge or a MAC of the guest's own in there); all VMs for a group address.
 * An address that is nobody's is outside of the cluster. */
#include "config.h"

#include "vmm/cluster-lines-private.h"

#include <string.h>

static guint
flow_hash (gconstpointer key)
{
  const CsFlow *flow = key;
  guint64 mixed = flow->source * 31 + flow->destination;
  return (guint)(mixed ^ (mixed >> 32));
}

static gboolean
flow_equal (gconstpointer a, gconstpointer b)
{
  const CsFlow *x = a, *y = b;
  return x->source == y->source && x->destination == y->destination;
}

GHashTable *
cs_account_parse (GHashTable *texts)
{
  GHashTable *parsed = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free,
                                              (GDestroyNotify)g_ptr_array_unref);
  GHashTableIter iter;
  gpointer id, text;
  g_hash_table_iter_init (&iter, texts);
  while (g_hash_table_iter_next (&iter, &id, &text))
    {
      g_autoptr (GError) error = NULL;
      GPtrArray *sets = text != NULL ? cs_flow_listing_parse (text, &error) : NULL;
      if (sets != NULL)
        g_hash_table_insert (parsed, g_memdup2 (id, sizeof (guint64)), sets);
      else if (error != NULL)
        g_warning ("%s", error->message);
    }
  return parsed;
}

/* The set of @watch, when it is the one that we made and nothing was turned away from it. */
static const CsFlowSet *
set_of (const CsWatch *watch, GHashTable *sets)
{
  const CsFlowSet *set =
      cs_flow_listing_find (g_hash_table_lookup (sets, &watch->netns), watch->name);
  return set != NULL && set->handle == watch->handle ? set : NULL;
}

/* ---- whose addresses ---- */

static void
add_owner (GHashTable *owners, guint64 mac, guint member)
{
  GArray *of_mac = g_hash_table_lookup (owners, &mac);
  if (of_mac == NULL)
    {
      of_mac = g_array_new (FALSE, FALSE, sizeof (guint));
      g_hash_table_insert (owners, g_memdup2 (&mac, sizeof mac), of_mac);
    }
  for (guint i = 0; i < of_mac->len; i++)
    if (g_array_index (of_mac, guint, i) == member)
      return;
  g_array_append_val (of_mac, member);
}

/* MAC -> GArray of numbers of members. */
static GHashTable *
find_owners (const GPtrArray *members, GHashTable *sets)
{
  GHashTable *owners =
      g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, (GDestroyNotify)g_array_unref);
  for (guint i = 0; i < members->len; i++)
    {
      const CsLineMember *member = g_ptr_array_index (members, i);
      for (guint k = 0; k < member->macs->len; k++)
        add_owner (owners, g_array_index (member->macs, guint64, k), i);
      for (guint k = 0; k < member->watches->len; k++)
        {
          const CsFlowSet *set = set_of (g_ptr_array_index (member->watches, k), sets);
          for (guint f = 0; set != NULL && f < set->flows->len; f++)
            add_owner (owners, g_array_index (set->flows, CsFlow, f).source, i);
        }
    }
  return owners;
}

/* ---- binding ---- */

static void
bind (GPtrArray *members, guint i, guint j, CsDependencySource source)
{
  CsLineMember *a = g_ptr_array_index (members, i), *b = g_ptr_array_index (members, j);
  if (i == j)
    return;
  cs_line_merge (a->line, b->name, cs_line_sequence (b->line), source);
  cs_line_merge (b->line, a->name, cs_line_sequence (a->line), source);
}

GHashTable *
cs_account_frames_new (void)
{
  return g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, g_free);
}

static void
count (GHashTable *frames, guint i, guint j, guint64 n)
{
  guint64 key = (guint64)i << 32 | j;
  if (frames == NULL || i == j)
    return;
  guint64 *sum = g_hash_table_lookup (frames, &key);
  if (sum == NULL)
    g_hash_table_insert (frames, g_memdup2 (&key, sizeof key), g_memdup2 (&n, sizeof n));
  else
    *sum += n;
}

guint64
cs_account_frames (GHashTable *frames, guint i, guint j)
{
  guint64 key = (guint64)i << 32 | j;
  const guint64 *sum = g_hash_table_lookup (frames, &key);
  return sum != NULL ? *sum : 0;
}

typedef struct
{
  GPtrArray *members;
  GHashTable *owners;
  GHashTable *frames; /* may be NULL */
} Account;

static void
add_flow (const Account *account, guint from, guint64 destination, guint64 n)
{
  const GArray *to = g_hash_table_lookup (account->owners, &destination);
  bool group = (destination & CS_MAC_GROUP) != 0;
  guint n_to = group ? account->members->len : to != NULL ? to->len : 0;
  for (guint k = 0; k < n_to; k++)
    {
      guint j = group ? k : g_array_index (to, guint, k);
      bind (account->members, from, j, CS_DEPENDENCY_FLOWS);
      count (account->frames, from, j, n);
    }
}

/* A count that went down is of a set that was emptied by somebody: all of it is new. */
static void
add_set (const Account *account, guint from, const CsWatch *watch, const CsFlowSet *set)
{
  g_autoptr (GHashTable) seen = g_hash_table_new (flow_hash, flow_equal);
  for (guint i = 0; i < watch->seen->len; i++)
    g_hash_table_add (seen, &g_array_index (watch->seen, CsFlow, i));
  for (guint i = 0; i < set->flows->len; i++)
    {
      const CsFlow *flow = &g_array_index (set->flows, CsFlow, i);
      const CsFlow *before = g_hash_table_lookup (seen, flow);
      guint64 old = before != NULL && before->frames <= flow->frames ? before->frames : 0;
      if (flow->frames > old)
        add_flow (account, from, flow->destination, flow->frames - old);
    }
}

static bool
account_member (const Account *account, guint i, GHashTable *sets, bool take)
{
  CsLineMember *member = g_ptr_array_index (account->members, i);
  bool complete = member->countable;
  for (guint k = 0; k < member->watches->len; k++)
    {
      CsWatch *watch = g_ptr_array_index (member->watches, k);
      const CsFlowSet *set = set_of (watch, sets);
      if (set != NULL)
        add_set (account, i, watch, set);
      if (set != NULL && take)
        {
          g_array_set_size (watch->seen, 0);
          g_array_append_vals (watch->seen, set->flows->data, set->flows->len);
        }
      complete = complete && set != NULL && !cs_flow_set_is_full (set);
    }
  return complete;
}

void
cs_account (GPtrArray *members, GHashTable *sets, GHashTable *frames, bool take)
{
  g_autoptr (GHashTable) owners = find_owners (members, sets);
  Account account = { members, owners, frames };
  for (guint i = 0; i < members->len; i++)
    {
      CsLineMember *member = g_ptr_array_index (members, i);
      bool complete = account_member (&account, i, sets, take) || member->pid == 0;
      for (guint j = 0; j < members->len && (member->missed || !complete); j++)
        bind (members, i, j, CS_DEPENDENCY_UNCOUNTED);
      if (take)
        member->missed = !complete;
    }
}
