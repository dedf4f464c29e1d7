/* Which taps are counted: those that a job's look at its VMs found (cluster-lines.h). */
#include "config.h"

#include "vmm/cluster-lines-private.h"

#include "common/error.h"

enum
{
  MAX_MACS = 512, /* of a VM, those that it had before included */
};

/* Namespaces in which nothing is counted any more lose their table. */
static void
drop_namespaces (CsClusterLines *lines)
{
  g_autoptr (GArray) ids = cs_flows_namespaces (lines->flows);
  for (guint i = 0; i < ids->len; i++)
    {
      guint64 id = g_array_index (ids, guint64, i);
      bool used = false;
      g_mutex_lock (&lines->lock);
      for (guint k = 0; k < lines->members->len; k++)
        {
          const CsLineMember *member = g_ptr_array_index (lines->members, k);
          for (guint w = 0; w < member->watches->len; w++)
            used = used || ((CsWatch *)g_ptr_array_index (member->watches, w))->netns == id;
        }
      g_mutex_unlock (&lines->lock);
      if (!used)
        cs_flows_remove (lines->flows, id);
    }
}

static void
unwatch (CsClusterLines *lines, const GPtrArray *watches)
{
  for (guint i = 0; i < watches->len; i++)
    {
      const CsWatch *watch = g_ptr_array_index (watches, i);
      cs_flows_unwatch (lines->flows, watch->netns, watch->index);
    }
}

void
cs_cluster_lines_unwatch (CsClusterLines *lines, GPtrArray *watches)
{
  unwatch (lines, watches);
  for (guint i = 0; i < watches->len; i++)
    cs_watch_free (g_ptr_array_index (watches, i));
  drop_namespaces (lines);
}

/* A watch on @tap whose set is there, with room; NULL: it must be made.  *@complete: it has counted
 * all since the last reading. */
static CsWatch *
find_watch (CsClusterLines *lines, const CsLineMember *member, const CsTap *tap)
{
  g_autofree char *text = cs_flows_list (lines->flows, tap->netns, NULL);
  g_autoptr (GPtrArray) sets = text != NULL ? cs_flow_listing_parse (text, NULL) : NULL;
  g_autofree char *name = cs_flows_set_name (tap->index);
  const CsFlowSet *set = cs_flow_listing_find (sets, name);
  for (guint i = 0; set != NULL && i < member->watches->len; i++)
    {
      CsWatch *watch = g_ptr_array_index (member->watches, i);
      if (watch->netns != tap->netns || watch->index != tap->index || watch->handle != set->handle
          || !set->has_chain || cs_flow_set_is_full (set))
        continue;
      CsWatch *same = cs_watch_new (tap->index, tap->netns, set->handle);
      g_array_append_vals (same->seen, watch->seen->data, watch->seen->len);
      return same;
    }
  return NULL;
}

static CsWatch *
begin_watch (CsClusterLines *lines, const CsTap *tap, GError **error)
{
  if (!cs_flows_watch (lines->flows, tap, error))
    return NULL;
  g_autofree char *text = cs_flows_list (lines->flows, tap->netns, error);
  g_autoptr (GPtrArray) sets = text != NULL ? cs_flow_listing_parse (text, error) : NULL;
  g_autofree char *name = cs_flows_set_name (tap->index);
  const CsFlowSet *set = cs_flow_listing_find (sets, name);
  if (sets != NULL && set == NULL)
    g_set_error (error, CS_ERROR, CS_ERROR_GONE, "the counters of tap '%s' have vanished",
                 tap->name);
  return set != NULL ? cs_watch_new (tap->index, tap->netns, set->handle) : NULL;
}

/* The VM's taps as they are now.  *@missed is set when one of them was not counted till now. */
static GPtrArray *
watch_taps (CsClusterLines *lines, const CsLineMember *member, const CsVmNetwork *network,
            bool *missed, GError **error)
{
  g_autoptr (GPtrArray) watches = g_ptr_array_new_with_free_func (cs_watch_free);
  for (guint i = 0; i < network->taps->len; i++)
    {
      const CsTap *tap = g_ptr_array_index (network->taps, i);
      if (!cs_flows_add_namespace (lines->flows, tap->netns, tap->netns_fd, error))
        return NULL;
      CsWatch *watch = find_watch (lines, member, tap);
      *missed = *missed || watch == NULL;
      if (watch == NULL)
        watch = begin_watch (lines, tap, error);
      if (watch == NULL)
        return NULL;
      g_ptr_array_add (watches, watch);
    }
  return g_steal_pointer (&watches);
}

/* Those of @old that are none of @now. */
static GPtrArray *
watches_gone (const GPtrArray *old, const GPtrArray *now)
{
  GPtrArray *gone = g_ptr_array_new ();
  for (guint i = 0; i < old->len; i++)
    {
      const CsWatch *watch = g_ptr_array_index (old, i);
      bool stays = false;
      for (guint k = 0; k < now->len; k++)
        {
          const CsWatch *other = g_ptr_array_index (now, k);
          stays = stays || (other->netns == watch->netns && other->index == watch->index);
        }
      if (!stays)
        g_ptr_array_add (gone, (gpointer)watch);
    }
  return gone;
}

static void
take_macs (CsLineMember *member, const CsVmNetwork *network)
{
  /* What came to an address that it has no longer was still for it. */
  if (member->macs->len + network->macs->len > MAX_MACS)
    g_array_set_size (member->macs, 0);
  for (guint i = 0; i < network->macs->len; i++)
    {
      guint64 mac = g_array_index (network->macs, guint64, i);
      bool known = false;
      for (guint k = 0; k < member->macs->len; k++)
        known = known || g_array_index (member->macs, guint64, k) == mac;
      if (!known)
        g_array_append_val (member->macs, mac);
    }
}

/* A member is changed here only, by the job that has its VM claimed: reading it without the lock is
 * safe. */
static bool
look (CsClusterLines *lines, const char *vm, const CsVmNetwork *network, bool fresh, GError **error)
{
  g_mutex_lock (&lines->lock);
  CsLineMember *member = cs_cluster_lines_member (lines, vm);
  g_mutex_unlock (&lines->lock);
  if (member == NULL)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_NOT_FOUND, "VM '%s' has left the cluster", vm);
      return false;
    }
  bool other = member->pid != network->pid || member->start_time != network->start_time;
  bool missed = false;
  g_autoptr (GPtrArray) watches = watch_taps (lines, member, network, &missed, error);
  bool counted = watches != NULL;
  if (!counted)
    watches = g_ptr_array_new_with_free_func (cs_watch_free);
  g_autoptr (GPtrArray) gone = watches_gone (member->watches, watches);
  missed = fresh ? !counted : member->missed || other || missed || !counted || gone->len > 0;
  unwatch (lines, gone);
  g_mutex_lock (&lines->lock);
  take_macs (member, network);
  member->pid = network->pid;
  member->start_time = network->start_time;
  member->countable = network->countable && counted;
  member->missed = missed || !network->countable;
  g_free (member->problem);
  member->problem =
      g_strdup (!counted && error != NULL && *error != NULL ? (*error)->message : network->problem);
  GPtrArray *old = member->watches;
  member->watches = g_steal_pointer (&watches);
  g_mutex_unlock (&lines->lock);
  g_ptr_array_unref (old);
  return counted;
}

bool
cs_cluster_lines_look (CsClusterLines *lines, const char *vm, const CsVmNetwork *network,
                       bool fresh, GError **error)
{
  g_mutex_lock (&lines->change_lock);
  bool counted = look (lines, vm, network, fresh, error);
  g_mutex_unlock (&lines->change_lock);
  return counted;
}

void
cs_cluster_lines_missed (CsClusterLines *lines, const char *vm)
{
  g_mutex_lock (&lines->lock);
  CsLineMember *member = cs_cluster_lines_member (lines, vm);
  if (member != NULL)
    member->missed = true;
  g_mutex_unlock (&lines->lock);
}

bool
cs_cluster_lines_knows (CsClusterLines *lines, const char *vm)
{
  g_mutex_lock (&lines->lock);
  const CsLineMember *member = cs_cluster_lines_member (lines, vm);
  bool knows = member != NULL && member->countable && cs_line_member_is_alive (member);
  g_mutex_unlock (&lines->lock);
  return knows;
}
