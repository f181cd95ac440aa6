#ifndef STROBE_LOWER_SIMT_CONTEXT_H
#define STROBE_LOWER_SIMT_CONTEXT_H

/** \file
 * What every part of this lowering needs: the program, where its values are, how
 * Exprs of tile programs become Exprs over memory and registers. */

#include "Block.h"
#include "Values.h"

#include <functional>

namespace strobe::simt {

/** A position along one axis, counted from the tile's corner (or from the block's first
 * point of a grid axis). A thread's own element is in one of its slots. */
struct Coord {
    Expr at;
    int slot = -1;
};

using Point = std::map<std::string, Coord>;

struct Context {
    const TileProgram &program;
    const Values values;
    /** The statement will run on a CPU, where indices may have 32 bits. */
    const bool on_cpu;
    /** Which rows lie at multiples of 16 bytes, as far as the code goes. */
    enum class WideRows { Unknown, All, Few };
    mutable WideRows wide_rows = WideRows::Unknown;
    /** Arrays that operations need for themselves, by name; shared by all that ask for the same. */
    mutable std::map<std::string, Stored> scratch;
    /** Which value's registers such an array holds, as far as the code so far goes. */
    mutable std::map<std::string, std::string> copied;
    /** Copies in shared memory of what each row has in registers, for code across points. */
    mutable std::map<std::string, Stored> handed_over;

    Context(const TileProgram &program, bool on_cpu);

    const Stored &at(const std::string &value) const;
    /** Threads of the block. */
    int threads() const {
        return values.map.all_threads();
    }
    /** \p body for every thread; or for those of points that the axis has, which of what is
     * theirs alone is all that anybody sees. */
    Stmt each(const Stmt &body) const;
    Stmt each_of_points(const Stmt &body) const;
    /** The threads that share out the elements of \p s, and the current one's number among them. */
    int sharers(const Stored &s) const {
        return s.by_rows ? 32 : s.points > 1 ? values.map.threads : threads();
    }
    Expr sharer(const Stored &s) const {
        return s.by_rows ? thread() % 32 : s.points > 1 ? values.map.own_thread() : thread();
    }
    Stmt each_sharer(const Stored &s, const Stmt &body) const {
        return s.points > 1 ? each_of_points(body) : each(body);
    }
    /** The coordinate of the block's \p number'th point, of the last one where the axis has ended. */
    Expr coordinate_of_point(const Expr &number) const;
    /** That the block's \p number'th point of the shared axis exists. */
    Expr has_point(const Expr &number) const;

    /** The coordinate of the tile's first element along an axis. */
    Expr corner(const std::string &axis) const;
    /** How many elements of the tile lie in the axis' domain. */
    Expr valid(const std::string &axis) const;

    /** \p e at \p point, with IEEE arithmetic: axes become coordinates, tile values
     * loads, input elements loads at coordinates clamped to the domain. */
    Expr evaluate(const Expr &e, const Point &point) const;

    /** Where an input element lies, at coordinates that may be beyond the domain. */
    Expr index_of_input(const Expr &element, const Point &point) const;

    Expr load_input(const Halide::Internal::Call *call, const std::vector<Expr> &args) const;
    /** The 64-bit index of an element of a buffer. */
    Expr flat_index(const std::string &name, const std::vector<Expr> &args, const Halide::Parameter &param) const;
};

Expr element_index(const Context &context, const Stored &s, const Point &point);
/** As an Expr of the value's own kind (booleans as booleans). */
Expr load_element(const Context &context, const Stored &s, const Point &point);
/** Stores \p value, rounded to the value's type. */
Stmt store_element(const Context &context, const Stored &s, const Point &point, const Expr &value);

/** for (name = 0; name < extent; name++) body; \p make gets the loop's Variable. */
Stmt serial_loop(const std::string &name, const Expr &extent, const std::function<Stmt(Expr)> &make);

/** A plain load of one element. */
Expr load_at(const std::string &array, Type type, const Expr &index);
Stmt store_at(const std::string &array, const Expr &value, const Expr &index);

/** Where each row has a matrix: body(point of the row) for each row that the thread's warp has. Else body({}). */
Stmt for_own_rows(const Context &context, const Stored &s, const std::function<Stmt(const Point &)> &body);

/** Statements of one thread for each element of \p s, padding included, dealt out in
 * order: make(point, inside), where inside is Bool and false for padding. */
Stmt for_each_element(const Context &context, const Stored &s,
                      const std::function<Stmt(const Point &, const Expr &)> &make);

}  // namespace strobe::simt

#endif
