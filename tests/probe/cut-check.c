/* cut-check: does a cluster of guests with the cut probe stand at one cut?
 *
 * Asks all guests twice for their states (orphans show when the second is compared with the first),
 * lets them check all of their disks and memory, waits for progress, and asks again.  Says each
 * thing that does not fit.  Status: 0 all fits, 1 something does not, 2 cannot tell. */
#include "config.h"

#include "tests/probe/cut-decide.h"
#include "tests/probe/cut-guests.h"

#include <stdio.h>
#include <stdlib.h>

static gboolean no_verify;
static int wait_progress, timeout_s = 120;
static char *save_path, *against_path;
static char **sockets;

static const GOptionEntry entries[] = {
  { "wait-progress", 0, 0, G_OPTION_ARG_INT, &wait_progress,
    "wait until every pair exchanged N more messages on TCP", "N" },
  { "save", 0, 0, G_OPTION_ARG_FILENAME, &save_path, "save the states to FILE", "FILE" },
  { "against", 0, 0, G_OPTION_ARG_FILENAME, &against_path,
    "no counter may be behind the states saved in FILE", "FILE" },
  { "no-verify", 0, 0, G_OPTION_ARG_NONE, &no_verify,
    "do not let the guests check all of their disks and memory", NULL },
  { "timeout", 0, 0, G_OPTION_ARG_INT, &timeout_s, "give up a silent guest after N seconds (120)",
    "N" },
  { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &sockets, NULL, "NODE=SOCKET..." },
  { NULL },
};

typedef struct
{
  CutGuests *guests;
  GPtrArray *against; /* or NULL */
  GPtrArray *latest;
  GPtrArray *reasons;
} Check;

/* Takes new states and holds them against the latest ones. */
static bool
next_round (Check *check, const char *verb, GError **error)
{
  GPtrArray *states = cut_guests_ask (check->guests, verb, (guint)timeout_s, error);
  if (!states)
    return false;
  if (cut_decide_complete (states, check->reasons) && check->latest)
    {
      cut_decide_no_orphan (check->latest, states, check->reasons);
      cut_decide_no_way_back (check->latest, states, "just before", check->reasons);
    }
  g_clear_pointer (&check->latest, g_ptr_array_unref);
  check->latest = states;
  return true;
}

static bool
wait_for_progress (Check *check, GError **error)
{
  g_autoptr (GPtrArray) start = g_ptr_array_ref (check->latest);
  gint64 deadline = g_get_monotonic_time () + (gint64)timeout_s * G_USEC_PER_SEC;
  for (;;)
    {
      g_autoptr (GPtrArray) missing = g_ptr_array_new_with_free_func (g_free);
      g_usleep (100000);
      if (!next_round (check, "state", error))
        return false;
      if (check->reasons->len
          || cut_decide_progress (start, check->latest, (guint64)wait_progress, missing))
        return true;
      if (g_get_monotonic_time () > deadline)
        {
          for (guint i = 0; i < missing->len; i++)
            g_ptr_array_add (check->reasons, g_strdup (g_ptr_array_index (missing, i)));
          return true;
        }
    }
}

static bool
run (Check *check, GError **error)
{
  if (!next_round (check, "state", error) || !next_round (check, "state", error))
    return false;
  if (check->against)
    cut_decide_no_way_back (check->against, check->latest, "in the saved states", check->reasons);
  if (check->reasons->len == 0 && wait_progress > 0 && !wait_for_progress (check, error))
    return false;
  if (!no_verify && !next_round (check, "verify", error))
    return false;
  GPtrArray *old =
      check->against && check->against->len == check->latest->len ? check->against : NULL;
  cut_decide_healthy (check->latest, old, check->reasons);
  return !save_path || cut_states_save (check->latest, save_path, error);
}

static void
summary (const Check *check)
{
  for (guint i = 0; i < check->latest->len; i++)
    {
      const CutState *state = g_ptr_array_index (check->latest, i);
      guint64 tcp = 0, udp = 0, lost = 0;
      for (guint j = 0; j < state->nodes; j++)
        {
          tcp += state->peers[j].tcp_received;
          udp += state->peers[j].udp_received;
          lost += state->peers[j].lost;
        }
      printf ("node %u: up %.1f s, received %" G_GUINT64_FORMAT " TCP and %" G_GUINT64_FORMAT
              " UDP messages (%" G_GUINT64_FORMAT " lost), %" G_GUINT64_FORMAT " violations\n",
              i, (double)state->uptime / 1000, tcp, udp, lost, state->violations);
    }
}

int
main (int argc, char **argv)
{
  g_autoptr (GOptionContext) context = g_option_context_new ("- check the cut of a cluster");
  g_autoptr (GError) error = NULL;
  g_option_context_add_main_entries (context, entries, NULL);
  Check check = { .reasons = g_ptr_array_new_with_free_func (g_free) };
  bool told = g_option_context_parse (context, &argc, &argv, &error) && sockets && timeout_s > 0;
  if (told && against_path)
    told = (check.against = cut_states_load (against_path, &error)) != NULL;
  if (told)
    told = (check.guests = cut_guests_new (sockets, &error)) != NULL && run (&check, &error);
  if (check.latest)
    summary (&check);
  for (guint i = 0; i < check.reasons->len; i++)
    printf ("INCONSISTENT %s\n", (const char *)g_ptr_array_index (check.reasons, i));
  if (!told)
    fprintf (stderr, "cut-check: %s\n", error ? error->message : "usage: cut-check NODE=SOCKET...");
  int status = check.reasons->len ? 1 : told ? 0 : 2;
  if (status == 0)
    printf ("CONSISTENT\n");
  g_clear_pointer (&check.guests, cut_guests_free);
  g_clear_pointer (&check.latest, g_ptr_array_unref);
  g_clear_pointer (&check.against, g_ptr_array_unref);
  g_ptr_array_unref (check.reasons);
  g_strfreev (sockets);
  g_free (save_path);
  g_free (against_path);
  return status;
}
