#ifndef STROBE_LOWER_CUDA_CODE_H
#define STROBE_LOWER_CUDA_CODE_H

/** \file
 * Collects the statements of a kernel in order, with nested scopes and loops. */

#include "device/Intrinsics.h"

namespace strobe::cuda {

using Halide::Expr;
using Halide::Internal::Stmt;

class Code {
    std::vector<Stmt> *list;
    std::vector<Stmt> top;
    int labels = 0;
    std::string scope;

public:
    /** Labels are unique among codes of different scopes, and of loops with different names. */
    explicit Code(const std::string &scope = "")
        : list(&top), scope(scope) {
    }

    void emit(const Stmt &s) {
        list->push_back(s);
    }
    void run(const std::string &op, const std::vector<std::string> &constants = {}, const std::vector<Expr> &args = {}) {
        emit(device::run(op, constants, args));
    }
    /** Named register i of `name`. */
    void set(const std::string &name, int i, const Expr &value) {
        emit(device::set(name, i, value));
    }
    void set(const std::string &name, const Expr &value) {
        set(name, 0, value);
    }
    static Expr get_int(const std::string &name, int i = 0) {
        return device::get(Halide::Int(32), name, i);
    }
    static Expr get_float(const std::string &name, int i = 0) {
        return device::get(Halide::Float(32), name, i);
    }

    /** What `body` emits, as one statement. */
    template<typename Body>
    Stmt block(Body body) {
        std::vector<Stmt> inner;
        std::vector<Stmt> *outer = list;
        list = &inner;
        body();
        list = outer;
        return inner.empty() ? device::run("nothing") : Halide::Internal::Block::make(inner);
    }

    template<typename Body>
    void when(const Expr &condition, Body body) {
        emit(Halide::Internal::IfThenElse::make(condition, block(body)));
    }

    /** do body while (again()); `again` is evaluated after the body. The loop is a
     * label and a branch: Halide IR has no loop without a known extent. */
    template<typename Body, typename Again>
    void loop(const std::string &name, Body body, Again again) {
        const std::string label = scope + name + "_" + std::to_string(labels++);
        run("label", {label});
        body();
        run("branch_if", {label}, {Halide::select(again(), 1, 0)});
    }

    Stmt finish() {
        return Halide::Internal::Block::make(top);
    }
};

/** Halide's thread index of the block. */
inline Expr thread_index() {
    return Halide::Internal::Variable::make(Halide::Int(32), "k" + Halide::Internal::gpu_thread_name(0));
}

inline Expr u32(const Expr &e) {
    return Halide::cast(Halide::UInt(32), e);
}

/** A legal register or parameter name. */
inline std::string plain(std::string name) {
    for (char &c : name) {
        if (!isalnum(static_cast<unsigned char>(c)) && c != '_') {
            c = '_';
        }
    }
    return name;
}

}  // namespace strobe::cuda

#endif
