#ifndef STROBE_TILE_PRINT_TILES_H
#define STROBE_TILE_PRINT_TILES_H

/** \file
 * A tile program as a page of text, one op a line. A value's shape is printed
 * where it is first defined, its type and place behind that line. */

#include "TileProgram.h"

#include <ostream>

namespace strobe {

std::ostream &operator<<(std::ostream &stream, const TileProgram &program);

/** One op on one line, as in the program's listing. */
std::string op_text(const TileOp &op);

}  // namespace strobe

#endif
