#ifndef STROBE_TILE_BUILD_PASS_H
#define STROBE_TILE_BUILD_PASS_H

/** \file
 * The ops of one pass: its mask, then per pivot the exponent, its running maximum
 * and the weights, then per moment its update, and after the walk the readouts. */

#include "TileBuilder.h"

namespace strobe {

/** Fills builder.pass() from plan.passes[index]. */
void build_pass(TileBuilder &builder, size_t index);

}  // namespace strobe

#endif
