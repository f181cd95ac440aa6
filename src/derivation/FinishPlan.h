#ifndef STROBE_DERIVATION_FINISH_PLAN_H
#define STROBE_DERIVATION_FINISH_PLAN_H

/** \file
 * Last step of the plan procedure: keeps what the outputs need, names it in order,
 * adds readouts for later passes, pivot policies, mask verdicts and facts. */

#include "DerivePass.h"

namespace strobe {

Plan finish_plan(const Draft &draft);

}  // namespace strobe

#endif
