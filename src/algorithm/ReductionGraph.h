#ifndef STROBE_ALGORITHM_REDUCTION_GRAPH_H
#define STROBE_ALGORITHM_REDUCTION_GRAPH_H

/** \file
 * What an algorithm computes, with Halide's Funcs read away: a chain of
 * reductions over named axes. Every pure Func has been inlined; every Func with
 * an update definition has become one Reduction. Bodies stay Halide Exprs.
 *
 * Inside the Exprs of a graph
 *  - an axis is an Int(32) Variable with the axis' name;
 *  - the value of a reduction at the current point of its axes is a Variable
 *    made by Reduction::ref() (its name starts with '%');
 *  - an element of an input is a Call of type Image that carries its Parameter;
 *  - a scalar input is a Variable that carries its Parameter;
 *  - the extent and strides of an input are Variables that carry its Parameter.
 */

#include "Halide.h"

#include <optional>
#include <string>
#include <vector>

namespace strobe {

using Halide::Expr;
using Halide::Type;

/** A loop dimension of the algorithm, shared by all that walk the same domain. */
struct Axis {
    std::string name;
    Expr min, extent;  // free of axes; a parallel axis has the extent of the output's dimension
};

enum class ReduceOp { Sum, Product, Max, Min, And, Or };

/** "sum", "max", ... */
const char *name_of(ReduceOp op);
/** The value that leaves \p op unchanged: 0, 1, -inf (lowest integer), inf, true, false. */
Expr identity_of(ReduceOp op, Type t);
/** a (op) b. */
Expr combine(ReduceOp op, const Expr &a, const Expr &b);

/** value[axes] = (op) over all points of \p over of body, starting from init.
 *
 * A selection has a rank, and a body chosen(value, key): it is the value at the point with the
 * greatest key (op is Max; Min: the least), or that which `rank` others precede. Of equal keys
 * the first counts; a key that is the identity of op never does. It is init, which is always
 * defined, if there are not that many. */
struct Reduction {
    std::string name;               // the Func's name; with ".k" for element k of a Tuple
    Type type;                      // what the Func holds (the accumulator's type)
    std::vector<std::string> axes;  // free axes, in the order of the Func's arguments
    std::vector<std::string> over;  // reduced axes
    ReduceOp op = ReduceOp::Sum;
    Expr init;  // Undefined when it is the identity of op
    Expr body;  // over axes, `over` and earlier reductions
    int rank = -1;

    /** The Variable that stands for this value in other Exprs. */
    Expr ref() const;
};

/** A selection's body. */
Expr chosen(const Expr &value, const Expr &key);
struct Chosen {
    Expr value, key;
};
/** Nothing if \p body is not a selection's. */
std::optional<Chosen> as_chosen(const Expr &body);

/** One output buffer (or one element of a Tuple): out[axes] = value. */
struct Output {
    std::string name;  // the name of its output buffer
    Type type;
    std::vector<std::string> axes;  // in the order of the buffer's dimensions
    Expr value;
};

struct ReductionGraph {
    std::vector<Axis> axes;
    std::vector<Reduction> reductions;  // each after those its body uses
    std::vector<Output> outputs;
    /** What reading took for granted and the caller must check: equal lengths of
     * inputs that are walked together. Over input extents only. */
    std::vector<Expr> requirements;

    const Axis &axis(const std::string &name) const;
    const Reduction &reduction(const std::string &name) const;
    /** Null if \p e is not the reference of a reduction. */
    const Reduction *referred(const Expr &e) const;
};

/** Names of the axes that \p e depends on, through references to reductions too. */
std::vector<std::string> axes_of(const ReductionGraph &graph, const Expr &e);

/** A readable listing, one reduction a line. */
std::ostream &operator<<(std::ostream &stream, const ReductionGraph &graph);

}  // namespace strobe

#endif
