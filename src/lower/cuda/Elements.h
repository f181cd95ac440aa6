#ifndef STROBE_LOWER_CUDA_ELEMENTS_H
#define STROBE_LOWER_CUDA_ELEMENTS_H

/** \file
 * Elementwise code on the fragments of the matrix unit. A consumer warpgroup owns
 * 64 rows; a thread holds two of them, r = 0 and 1, eight rows apart, and of each
 * row the columns 8n + 2 (lane mod 4) + {0, 1}. Element (r, column) of a fragment
 * is the named register 4n + 2r + e.
 *
 * What does not differ between the elements of a row is computed once: per kernel
 * if it depends on arguments alone, per block of rows if on the block or the row,
 * else per tile. What differs only by column is computed once for both rows.
 */

#include "Code.h"
#include "Dependence.h"
#include "LinearForm.h"
#include "Parameters.h"
#include "tile/TileProgram.h"

#include <array>
#include <functional>
#include <set>

namespace strobe::cuda {

class Elements {
public:
    Elements(const TileProgram &program, KernelParameters &parameters, Code &code);

    /** The value of an Expr that does not differ between elements, for row r of the thread. */
    Expr row_value(const Expr &e, int r);
    /** The same for both rows, evaluated once per kernel, block, row or tile as its
     * dependence allows. */
    std::array<Expr, 2> hoisted(const Expr &e);

    /** Reads what `op` needs from inputs that have an element for each row and column of the stream into
     * registers: early, so that other work hides how long it takes. */
    void preload(const TileOp &op);
    /** The next tile's elements are others. */
    void forget_preloaded() {
        preloads.clear();
    }
    void map(const TileOp &op);
    /** complete: every lane gets the result; else each keeps the part of its columns. */
    void reduce(const TileOp &op, bool complete);
    /** The elements of e over a fragment with `columns` columns of `axis`, pair by pair:
     * f(row, number of the pair's 8-column group, first value, second value). */
    void for_each_pair(const Expr &e, const std::string &axis, int columns,
                       const std::function<void(int r, int group, const Expr &, const Expr &)> &f);
    /** Combines the parts of a row value that its four lanes hold. */
    void complete(const std::string &value, ReduceOp op);
    /** Fragments that may be overwritten when a value computed from them is masked:
     * nothing else reads them. */
    std::set<std::string> consumable;
    /** Fragments that the matrix unit reads: always computed as they are. */
    std::set<std::string> operands;

    /** Fragments that nothing but the matrix unit reads, in bfloat16: a few bits are enough. */
    std::set<std::string> narrow_operands;

    /** The last row of the block, or of the warpgroup's part of it, inside the domain. */
    std::function<Expr()> last_row;
    /** The value of a load that depends on the stream's column alone, `offset` columns
     * behind the thread's first, where it is staged; else undefined. */
    std::function<Expr(const Expr &load, int offset)> staged_column;
    /** Whether a load's elements with these columns lie in a tile in shared memory. */
    std::function<bool(const Expr &load, const std::string &axis)> has_tile;
    /** Reads 16 columns from 16 * number on into registers `to`, 4 * number + 2 * (column / 8) + row r, each with two
     * columns' elements of 16 bits. number < 0: what comes before the first. */
    std::function<void(const Expr &load, const std::string &axis, int number, const std::string &to)> read_tile;
    /** The value of an element of a fragment that another warpgroup holds; else undefined. */
    std::function<Expr(const std::string &value, int element)> foreign;
    /** Never negative. Where it is set, costly elementwise work is kept apart column by column, since ptxas would
     * run out of registers for all of them at once. */
    Expr apart;
    /** Holds where the tile has no masked element; undefined where that is not known. */
    Expr all_live;
    /** Warpgroups take turns on the matrix unit. */
    bool turns = false;
    /** Where it is set, for_each_pair calls it between the two halves of a fragment's columns. */
    std::function<void()> halfway;
    /** What further Variables stand for: a verdict's summaries. */
    std::map<std::string, std::function<Expr()>> bindings;
    /** Code for the start of each block of rows, collected while emitting. */
    std::vector<Stmt> block_start;
    /** Values that depend on the kernel's arguments alone. */
    std::vector<std::pair<std::string, Expr>> kernel_values;
    /** Code to wrap around everything that uses kernel_values. */
    Stmt with_kernel_values(Stmt body) const;

    Dependence dependence(const Expr &e) const;
    std::string register_of(const std::string &value) const {
        return plain(value);
    }

private:
    /** value = alpha * fragment + gamma: a Map that needs no code of its own. */
    struct Alias {
        std::string fragment;
        Expr alpha, gamma;
    };
    struct Hoisted {
        Expr source;
        std::string name;
        Halide::Type type;
        bool kernel;
    };
    class Split;
    class RowTranslator;

    const TileProgram &program;
    KernelParameters &parameters;
    Code &code;
    std::map<std::string, Alias> aliases;
    std::vector<Hoisted> hoists;
    struct Preloaded {
        Expr load;
        std::string name;  // of the registers, an element each
    };
    std::vector<Preloaded> preloads;    // of the tile
    std::vector<Preloaded> row_starts;  // where a row's elements begin; of the block
    int names = 0;
    bool paired = false;           // reciprocals may be taken for two elements at once
    bool narrow = false;           // what is computed will be rounded to bfloat16, and no more is made of it
    std::string column_axis;       // of the fragment being computed
    std::set<std::string> parts;               // fragments that stand for aliases

    Expr first_column() const;  // of the thread
    std::string preloaded(const Halide::Internal::Call *load) const;  // its registers, or ""
    bool in_tile(const Expr &load) const;
    Expr tile_value(const Halide::Internal::Call *load, const std::string &name, int r, int group, int parity) const;
    int column_dimension(const Halide::Internal::Call *load) const;
    void set_element_rows(const std::string &name, const Halide::Internal::Call *load, int dim);
    Expr element_of(const std::string &name, const Halide::Internal::Call *load, int dim, int r, int offset) const;
    Expr at_element(const Split &split, const Expr &e, int r, int group, int parity);
    void take_reciprocals(const Split &split, int r, int group);
    void use_columns(const std::string &axis);
    void split_column(Term &t, Expr &constant) const;

    LinearForm linear(const Expr &e) const;
    Expr without_aliases(const Expr &e) const;
    bool define_alias(const TileOp &op);
    bool mask_alias(const TileOp &op);
    void assign(const std::string &fragment, const Expr &value, const TileDim &columns);
    void assign_map(const TileOp &op, const TileDim &columns);
    bool divides_pairs(const Expr &e) const;
    std::string fresh(const std::string &base) {
        return base + std::to_string(names++);
    }
};

}  // namespace strobe::cuda

#endif
