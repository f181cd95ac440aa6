#ifndef STROBE_LOWER_CPU_STRIPS_H
#define STROBE_LOWER_CPU_STRIPS_H

/** \file
 * Which ops of a tile program are done strip by strip of a block of rows, and which
 * tiles may share memory because they never live at once. */

#include "TileStorage.h"

namespace strobe::cpu {

/** \p op makes elements of rows: of a tile with the query axis, or of such an output. */
bool is_of_rows(const TileProgram &program, const TileOp &op);

/** The same ops, those that make no elements of rows first. As given, where one of
 * them depends on an op before it that does: such a program has one strip. */
std::vector<TileOp> rows_last(const TileProgram &program, const std::vector<TileOp> &ops);

/** Strips of \p width rows, or one of whole \p width where an op of the program
 * combines several rows. */
Strips divide_rows(const TileProgram &program, int width);

/** Lets values that are local to a strip's turn take the memory of others that are read no more. */
void share_storage(const TileProgram &program, const Strips &strips, std::map<std::string, TileStorage> &storage);

}  // namespace strobe::cpu

#endif
