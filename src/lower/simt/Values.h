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
 * Where a block has several points of a grid axis (share), each has such a grid of threads
 * for itself, one after another, and values that differ between points are there once for each.
 * Sums across points (SharePoints.h) lie as the matrix unit's results do whose rows are the
 * points: a warp of the block has every warps-th row of the query tile, its lanes the points
 * and columns.
 *
 * A value over (query) or (query, axis) lives in registers, an element in the slot
 * of the thread that has its row and column, unless an operation needs it
 * otherwise; a value over (query) is in every lane of its row. All other values,
 * and all that Loads fill, live in shared memory.
 */

#include "Bundles.h"

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
    std::string point_axis;
    int points = 1;  // of that axis
    int threads = 0, lanes = 16, groups = 0;  // threads of one point
    int row_slots = 0;
    std::map<std::string, AxisSlots> axes;  // all but the query axis

    bool point_is_warp() const {
        return points > 1 && threads == 32;
    }
    int all_threads() const {
        return threads * points;
    }
    /** Which of the block's points the thread works for, and which of the point's threads it is. */
    Expr point() const;
    Expr own_thread() const;

    Expr lane() const;
    /** Which of the warps that share its rows the thread is in. */
    Expr part() const;
    /** Of the threads that have a row, the first. */
    Expr is_first() const;
    Expr row(int slot) const;
    Expr column(const std::string &axis, int slot) const;

    /** Elements across points: slots of one thread for rows, for points and for columns. */
    int row_slots_across(int rows) const;
    int point_slots() const;
    int column_slots_across(const std::string &axis) const;
    Expr row_across(int slot) const;
    Expr point_across(int slot) const;
    Expr column_across(int slot) const;
};

/** Where the elements of a value are. */
struct Stored {
    std::string name;  // of the array
    Type type;         // of its elements: float for 16-bit floats, uint8 for booleans
    Type rounded_to;   // the value's own type
    std::vector<TileDim> dims;
    bool registers = false;
    bool other = false;        // of another part of the stream: not while tiles are walked
    bool across = false;       // registers: across the points
    int points = 1;            // shared memory: of this many points, one after another
    bool by_rows = false;      // shared memory: the same for all points, a matrix for each row
    std::vector<int> sizes;    // of each dimension: slots of one thread in registers, padded in shared memory
    std::vector<int> strides;  // shared memory
    int offset = 0;            // shared memory: of the first element
    bool part = false;         // of a bundle's array, which another value stands for
    int64_t elements = 1;      // registers: of one thread; else of one point

    int dimension(const std::string &axis) const;  // -1 if it has none
    int64_t allocated() const {
        return elements * points;
    }
    int64_t bytes() const {
        return allocated() * type.bytes();
    }
};

struct Values {
    std::string stream;  // the streamed axis
    ThreadMap map;
    std::map<std::string, Stored> stored;
    std::vector<Bundle> bundles;

    /** The bundle that the value is in; null if it is in none. */
    const Bundle *bundle_of(const std::string &value) const;

    /** Registers of one thread, in 32-bit words. */
    int64_t register_words() const;
    /** How many of them tile values may take. */
    int64_t most_words() const;
    int64_t shared_bytes() const;
};

/** Words of a thread's registers that tile values may take beside addresses and operands. */
constexpr int most_register_words = 144;

Values place_values(const TileProgram &program);

bool is_grid_axis(const TileProgram &program, const std::string &name);

/** The axes of a Store of which each thread writes its own elements: the query axis
 * and at most one other (of all the short others each thread writes all); none if the threads
 * share the elements out otherwise. */
std::vector<std::string> own_axes_of_store(const TileProgram &program, const TileOp &op);

/** Shared memory for elements with these dimensions, for each point if they differ between points. */
Stored shared_array(const std::string &name, Type type, const std::vector<TileDim> &dims, const TileProgram &program,
                    const ThreadMap &map, bool of_points);

}  // namespace strobe::simt

#endif
