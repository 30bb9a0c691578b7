# aotc for CMake:
#
#   find_package(aotc REQUIRED)
#   add_executable(program main.c)
#   aotc_add_module(program plugin.wasm)
#   target_link_libraries(program PRIVATE aotc::aotc)
#
#   aotc::aotc          the loader as a static library, with what that needs of the system
#   aotc::aotc_shared   the loader as a shared library
#   aotc_add_module     compiles a module into a target; aotcAddModule.cmake says how
#   AOTC_COMMAND        the compiler: looked for beside the library and on the search path, or set by the project

include(CMakeFindDependencyMacro)
find_dependency(Threads)

get_filename_component(_aotc_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)

if(WIN32)
  set(_aotc_static "lib/aotc.lib")
  set(_aotc_shared "bin/aotc.dll")
  set(_aotc_system ws2_32 ntdll userenv)
elseif(APPLE)
  set(_aotc_static "lib/libaotc.a")
  set(_aotc_shared "lib/libaotc.dylib")
  set(_aotc_system "")
else()
  set(_aotc_static "lib/libaotc.a")
  set(_aotc_shared "lib/libaotc.so")
  set(_aotc_system ${CMAKE_DL_LIBS} m)
endif()

if(NOT TARGET aotc::aotc AND EXISTS "${_aotc_prefix}/${_aotc_static}")
  add_library(aotc::aotc STATIC IMPORTED)
  set_target_properties(aotc::aotc PROPERTIES
    IMPORTED_LOCATION "${_aotc_prefix}/${_aotc_static}"
    INTERFACE_INCLUDE_DIRECTORIES "${_aotc_prefix}/include"
    INTERFACE_LINK_LIBRARIES "Threads::Threads;${_aotc_system}")
endif()

if(NOT TARGET aotc::aotc_shared AND EXISTS "${_aotc_prefix}/${_aotc_shared}")
  add_library(aotc::aotc_shared SHARED IMPORTED)
  set_target_properties(aotc::aotc_shared PROPERTIES
    IMPORTED_LOCATION "${_aotc_prefix}/${_aotc_shared}"
    INTERFACE_INCLUDE_DIRECTORIES "${_aotc_prefix}/include")
  if(WIN32)
    set_target_properties(aotc::aotc_shared PROPERTIES
      IMPORTED_IMPLIB "${_aotc_prefix}/lib/aotc.dll.lib")
  endif()
endif()

if(NOT TARGET aotc::aotc AND NOT TARGET aotc::aotc_shared)
  set(aotc_FOUND FALSE)
  set(aotc_NOT_FOUND_MESSAGE
    "there is neither ${_aotc_static} nor ${_aotc_shared} below ${_aotc_prefix}")
endif()

find_program(AOTC_COMMAND aotc HINTS "${_aotc_prefix}/bin" DOC "The compiler for WebAssembly")
include("${CMAKE_CURRENT_LIST_DIR}/aotcAddModule.cmake")

unset(_aotc_prefix)
unset(_aotc_static)
unset(_aotc_shared)
unset(_aotc_system)
