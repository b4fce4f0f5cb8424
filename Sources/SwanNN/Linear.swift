public import SwanCheckpoint
public import SwanDiagnostics
public import SwanTensor
