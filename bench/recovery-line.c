/* The time of a recovery line for 1,000 VMs with 100 snapshots each and 100,000 dependencies, and
 * its growth: the ratio to a history a tenth as large. */
#include "config.h"

#include "coord/recovery-line.h"

#include <stdio.h>

enum
{
  VMS = 1000,
  SNAPSHOTS = 100,
  DEPENDENCIES = 100000,
};

static CsHistory *
make_history (guint scale, GRand *rand)
{
  guint vms = VMS / scale;
  CsHistory *history = cs_history_new (vms);
  for (guint vm = 0; vm < vms; vm++)
    for (guint64 s = 1; s <= SNAPSHOTS; s++)
      cs_history_add_snapshot (history, vm, s);
  for (guint i = 0; i < DEPENDENCIES / scale; i++)
    {
      CsDependency one = { (guint)g_rand_int_range (rand, 0, (gint32)vms),
                           (guint)g_rand_int_range (rand, 0, (gint32)vms),
                           (guint64)g_rand_int_range (rand, 0, SNAPSHOTS + 1), 0 };
      /* Snapshots of the VMs are not taken together: an interval more or less. */
      one.to_interval =
          (guint64)MAX (0, (gint64)one.from_interval + g_rand_int_range (rand, -1, 2));
      cs_history_add_dependency (history, &one);
    }
  return history;
}

/* Seconds per recovery line after ten failures; *@back: VMs that go back. */
static double
measure (const CsHistory *history, guint *back)
{
  const guint failed[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 };
  const guint rounds = 10;
  gint64 begin = g_get_monotonic_time ();
  for (guint i = 0; i < rounds; i++)
    {
      g_autoptr (CsRecoveryLine) line = cs_recovery_line (history, failed, G_N_ELEMENTS (failed));
      *back = 0;
      for (guint vm = 0; vm < line->n; vm++)
        *back += line->members[vm].position != CS_RECOVERY_STAYS;
    }
  return (double)(g_get_monotonic_time () - begin) / rounds / G_USEC_PER_SEC;
}

int
main (void)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (1975);
  g_autoptr (CsHistory) small = make_history (10, rand);
  g_autoptr (CsHistory) large = make_history (1, rand);
  guint back_small, back_large;
  double time_small = measure (small, &back_small);
  double time_large = measure (large, &back_large);
  printf ("recovery line      VMs  snapshots  dependencies  go back     time\n");
  printf ("  a tenth        %5d %10d %13d %8u %6.1f ms\n", VMS / 10, VMS / 10 * SNAPSHOTS,
          DEPENDENCIES / 10, back_small, time_small * 1000);
  printf ("  whole          %5d %10d %13d %8u %6.1f ms\n", VMS, VMS * SNAPSHOTS, DEPENDENCIES,
          back_large, time_large * 1000);
  printf ("  ratio %.1f for 10 times the history; limit 1 s: %s\n", time_large / time_small,
          time_large < 1 ? "kept" : "EXCEEDED");
  return time_large < 1 ? 0 : 1;
}
