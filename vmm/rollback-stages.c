#include "config.h"

#include "vmm/rollback-stages.h"

#include <glib.h>

static const struct
{
  const char *name;
  const char *method;
  const char *sentence;
  const char *undo;
} table[] = {
#define X(symbol, name, method, sentence, undo)                                                    \
  [CS_ROLLBACK_STAGE_##symbol] = { name, method, sentence, undo },
  CS_ROLLBACK_STAGE_TABLE (X)
#undef X
};

G_STATIC_ASSERT (G_N_ELEMENTS (table) == CS_N_ROLLBACK_STAGES);

const char *
cs_rollback_stage_name (CsRollbackStage stage)
{
  g_assert (stage < CS_N_ROLLBACK_STAGES);
  return table[stage].name;
}

const char *
cs_rollback_stage_method (CsRollbackStage stage)
{
  g_assert (stage < CS_N_ROLLBACK_STAGES);
  return table[stage].method;
}

const char *
cs_rollback_stage_sentence (CsRollbackStage stage)
{
  g_assert (stage < CS_N_ROLLBACK_STAGES);
  return table[stage].sentence;
}

const char *
cs_rollback_stage_undo (CsRollbackStage stage)
{
  g_assert (stage < CS_N_ROLLBACK_STAGES);
  return table[stage].undo;
}
