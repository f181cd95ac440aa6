#ifndef STROBE_LOWER_SIMT_VALUES_H
#define STROBE_LOWER_SIMT_VALUES_H

/** \file
 * Which thread holds which element. The threads of a block form a grid: `groups`
 * of rows times `lanes` that share a row. Thread t has lane t % lanes and, in slot
 * s, the row t / lanes + s * groups of the query tile; along another axis its lane
 * has every lanes-th run of `width` consecutive elements.
 *
 * Where operands of contractions have 16 bits, the rows and columns are those of the
 * matrix unit's results instead: four lanes a row, runs of two elements, a warp for 16
 * rows, of which a lane has two that are eight apart. Where a warp's registers do not
 * hold whole rows, several warps share the same rows, each with a part of the columns.
 *
 * A value over (query) or (query, axis) lives in registers, an element in the slot
 * of the thread that has its row and column, unless an operation needs it
 * otherwise; a value over (query) is in every lane of its row. All other values,
 * and all that Loads fill, live in shared memory.
 */

#include "tile/TileProgram.h"

#include <map>

namespace strobe::simt {

/** How the elements along an axis are dealt to the lanes. */
struct AxisSlots {
    int size = 0;    // elements
    int slots = 0;   // elements a lane has
    int width = 1;   // consecutive ones
    int padded = 0;  // parts * lanes * slots
};

struct ThreadMap {
    bool matrix = false;  // rows and columns of the matrix unit
    int parts = 1;        // warps that share rows; 1 but for the matrix unit
    int threads = 0, lanes = 16, groups = 0;
    int row_slots = 0;
    std::map<std::string, AxisSlots> axes;  // all but the query axis

    Expr lane() const;
    /** Which of the warps that share its rows the thread is in. */
    Expr part() const;
    /** Of the threads that have a row, the first. */
    Expr is_first() const;
    Expr row(int slot) const;
    Expr column(const std::string &axis, int slot) const;
};

/** Where the elements of a value are. */
struct Stored {
    std::string name;  // of the array
    Type type;         // of its elements: float for 16-bit floats, uint8 for booleans
    Type rounded_to;   // the value's own type
    std::vector<TileDim> dims;
    bool registers = false;
    bool other = false;        // of another part of the stream: not while tiles are walked
    std::vector<int> sizes;    // of each dimension: slots of one thread in registers, padded in shared memory
    std::vector<int> strides;  // shared memory
    int64_t elements = 1;      // registers: of one thread

    int dimension(const std::string &axis) const;  // -1 if it has none
    int64_t bytes() const {
        return elements * type.bytes();
    }
};

struct Values {
    std::string stream;  // the streamed axis
    ThreadMap map;
    std::map<std::string, Stored> stored;

    /** Registers of one thread, in 32-bit words. */
    int64_t register_words() const;
    int64_t shared_bytes() const;
};

/** Words of a thread's registers that tile values may take beside addresses and operands. */
constexpr int most_register_words = 144;

Values place_values(const TileProgram &program);

/** The axes of a Store of which each thread writes its own elements: the query axis
 * and at most one other; none if the threads share the elements out otherwise. */
std::vector<std::string> own_axes_of_store(const TileProgram &program, const TileOp &op);

/** Shared memory for elements with these dimensions. */
Stored shared_array(const std::string &name, Type type, const std::vector<TileDim> &dims, const TileProgram &program,
                    const ThreadMap &map);

}  // namespace strobe::simt

#endif
