#ifndef STROBE_LOWER_LAUNCH_PACKAGE_H
#define STROBE_LOWER_LAUNCH_PACKAGE_H

/** \file
 * How a Halide Pipeline gets our GPU kernels: its loop nest becomes one call of
 * strobe_halide_run_on (runtime/HalideEntry.h) with the kernel package embedded as
 * constant data. Needs a target with the feature cuda, for Halide's runtime
 * manages the device's memory, context and stream.
 *
 * Checks about the host are dropped from what Halide generates around the nest: a
 * buffer may live on the device alone, and may have 2^31 elements or more without
 * the feature large_buffers. */

#include "Halide.h"
#include "runtime/KernelPackage.h"

namespace strobe {

/** The call, followed by the check of its result. Buffers and scalars have the
 * names that the package gives them. \p user_context: the compiled function has the
 * argument __user_context, which Halide gives it for targets with the features
 * user_context and jit; otherwise the call passes null, as Halide's own calls do. */
Halide::Internal::Stmt launch_package(const KernelPackage &package, bool user_context);

/** Makes \p pipeline launch \p package wherever it is compiled for \p target from now
 * on, ahead of time or just in time. Its Funcs must be scheduled so that Halide can lower them.
 * Replaces the effect of an earlier call. */
void install_package(Halide::Pipeline pipeline, const KernelPackage &package, const Halide::Target &target);

}  // namespace strobe

#endif
