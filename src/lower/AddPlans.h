#ifndef STROBE_LOWER_ADD_PLANS_H
#define STROBE_LOWER_ADD_PLANS_H

/** \file
 * Packages of one algorithm that different lowerings made, as one package of several plans. */

#include "runtime/KernelPackage.h"

namespace strobe {

/** Adds the plans and the PTX of \p more, whose buffers and scalars may come in another order. False, and nothing
 * is changed, if one of the two takes what the other does not. */
bool add_plans(KernelPackage &package, const KernelPackage &more);

}  // namespace strobe

#endif
