#ifndef STROBE_TILE_TILE_ARGUMENTS_H
#define STROBE_TILE_TILE_ARGUMENTS_H

/** \file
 * Reading and writing the arguments of an interpreted program, whatever their
 * element type. */

#include "InterpretTiles.h"

namespace strobe {

/** The buffer that an Image Call reads: its embedded one, or the argument of that name; null if there is none. */
const Halide::Buffer<> *buffer_of(const Halide::Internal::Call &load, const TileArguments &arguments);

/** Fills lanes with the elements at the points of index. Points outside the buffer
 * get 0, or, with \p poison, NaN (floating point) or a large number. */
void read_elements(const Halide::Buffer<> &buffer, const std::vector<Lanes> &index, bool poison, Lanes &lanes);

/** buffer(at) = x, converted to the buffer's type. */
void write_element(const Halide::Buffer<> &buffer, const std::vector<int> &at, double x);

/** A scalar argument, or an extent, min or stride of a buffer ("q.extent.1"). False if the name is unknown. */
bool argument_value(const std::string &name, const TileArguments &arguments, double &value);

}  // namespace strobe

#endif
