#ifndef STROBE_LOWER_CPU_CONTEXT_H
#define STROBE_LOWER_CPU_CONTEXT_H

/** \file
 * What every part of the CPU lowering needs: the program, the storage of its
 * values, how Exprs of tile programs become Exprs over memory. */

#include "TileStorage.h"

namespace strobe::cpu {

/** How many vectors of accumulators a contraction keeps in registers. */
struct RegisterBlock {
    int rows = 6, vectors = 2;
};

/** The shape that fits the vector registers of \p target, for \p size elements along vectors of \p lanes. */
RegisterBlock register_block(const Halide::Target &target, int lanes, int size);

struct Context {
    const TileProgram &program;
    Halide::Target target;
    int lanes = 8;
    Strips strips;
    std::map<std::string, TileStorage> storage;

    Context(const TileProgram &program, const Halide::Target &target, int lanes);

    const TileStorage &at(const std::string &value) const;

    /** The coordinate of the tile's first element along an axis of the tile. */
    Expr corner(const std::string &axis) const;
    /** How many elements of the tile lie in the axis' domain, at most \p size. */
    Expr valid(const TileDim &dim) const;

    /** \p e at \p point: axes of the point become coordinates, tile values become
     * loads, input elements become loads at clamped addresses for the axes named in
     * \p clamped (those that may run beyond their domain). Floating point is IEEE. */
    Expr evaluate(const Expr &e, const Point &point, const std::vector<std::string> &clamped) const;
    /** Only axes become coordinates: for the arguments of an input's load. */
    Expr coordinates(const Expr &e, const Point &point, const std::vector<std::string> &clamped) const;

    /** The flat index of element \p args of a buffer, 64 bits wide where the target has large buffers. */
    Expr flat_index(const std::string &name, const std::vector<Expr> &args, const Halide::Parameter &param,
                    const Halide::Buffer<> &image) const;
    /** A load of an input's element. */
    Expr load_input(const Halide::Internal::Call *call, const std::vector<Expr> &args) const;
    /** The stride of dimension \p dim of the input that \p call loads from. */
    Expr stride_of(const Halide::Internal::Call *call, int dim) const;
};

/** Stores \p value, rounded to the storage's element type, at \p point. */
Halide::Internal::Stmt store_element(const TileStorage &storage, const Point &point, const Expr &value);

/** for (name = 0; name < extent; name++) body. A loop of one turn is left out. */
Halide::Internal::Stmt make_loop(const std::string &name, const Expr &extent, const Halide::Internal::Stmt &body,
                                 Halide::Internal::ForType type = Halide::Internal::ForType::Serial);

}  // namespace strobe::cpu

#endif
