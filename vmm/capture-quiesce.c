/* QUIESCE.  What the guest prepared stands still until the VM runs again after the pause, through
 * all of PRECOPY: the agent is told for how long that may be, so that it goes on by itself only
 * when something is wrong. */
#include "config.h"

#include "common/json.h"
#include "vmm/capture-private.h"

enum
{
  HOLD_LEAST = 30000000,   /* us */
  HOLD_BYTES_PER_US = 100, /* slower than memory is copied anywhere */
};

void
cs_capture_set_intervals (CsCapture *capture, guint64 present, guint64 next)
{
  cs_agent_set_intervals (capture->agent, present, next);
}

bool
cs_capture_quiesce (CsCapture *capture, GError **error)
{
  gint64 hold = HOLD_LEAST + capture->pause_deadline
                + (gint64)(cs_capture_memory (capture) / HOLD_BYTES_PER_US);
  return cs_agent_quiesce (capture->agent, capture->monitor, capture->quiesce_deadline, hold,
                           error);
}

json_object *
cs_capture_agent_dependencies (const CsCapture *capture)
{
  return cs_agent_dependencies (capture->agent);
}

void
cs_capture_report_agent (const CsCapture *capture, json_object *report)
{
  gint64 took = cs_agent_took (capture->agent);
  cs_json_add_string (report, "agent", cs_agent_state (capture->agent));
  if (took >= 0)
    cs_json_add_uint (report, "quiesce", (guint64)took);
}
